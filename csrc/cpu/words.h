// Words: a key above a place, in 64 bits. The kernels that order them, for what is compiled once.
#pragma once
#include <cstdint>

#include "core/backend.h"

namespace fg::cpu {

// `ties` are the bits that do not count: all of a place, so that words are compared by their keys alone, or none.
struct WordKernels {
  // What std::sort and std::nth_element make of words, swap by swap; kWordSlack more words may be read and written as
  // they were.
  void (*sort)(uint64_t* words, int64_t n, uint64_t ties);
  void (*nth_element)(uint64_t* words, int64_t nth, int64_t n, uint64_t ties);
  // Puts the word of rank k by its key at place k, by partition around the median of three.
  void (*select)(uint64_t* words, int64_t n, int64_t k);
  // The k first of a line of elements of 4 bytes, in order, at words; kCandidates and kWordSlack may be written. False
  // when equal keys are among them, or it would take long. k is at most kFewest, n at least 64.
  bool (*first_few)(const void* in, DType dtype, int64_t n, int64_t k, bool largest, uint64_t* words);
  // Lines [first, last) of at most kShortLine elements of 4 bytes, sorted.
  void (*sort_short_lines)(const SortArgs& args, int64_t first, int64_t last);
};
extern WordKernels word_kernels;

constexpr int64_t kWordSlack = 64;
constexpr int64_t kShortLine = 32;
constexpr int64_t kFewest = 32, kCandidates = 256;
constexpr uint64_t kPlaceBits = 0xffffffffu;  // of a word with a key of 32 bits

// select.cpp: the standard library's way out when partitions go badly.
void heap_sort_words(uint64_t* first, uint64_t* last, uint64_t ties);
void heap_select_words(uint64_t* first, uint64_t* middle, uint64_t* last, uint64_t ties);

}  // namespace fg::cpu
