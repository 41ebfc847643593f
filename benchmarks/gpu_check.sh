#!/usr/bin/env bash
# Everything to be known from a machine with a GPU, in one command of at most 9 minutes and without a network:
#   benchmarks/gpu_check.sh [quick] [result.json]
# Steps: record, build, smoke, tests (smoke and matrix products again without cuBLAS), sanitizer, timings (device time
# against torch and CuPy when they are there), training.
# Every step has its own timeout; a failed one is recorded and the next one runs, except that nothing runs without a build
# and a working device. The JSON file is written after each step, so a run that is stopped still tells. Clocks, power
# and driver settings are left alone.
set -u
cd "$(dirname "$0")/.."
QUICK=0
[ "${1:-}" = quick ] && QUICK=1 && shift
OUT=$(realpath -m "${1:-${OUT:-build}/gpu_check.json}")
PYTHON=${PYTHON:-python3}
ARCHS=${FASTGRAD_CUDA_ARCHS:-90a-real}
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
mkdir -p "$(dirname "$OUT")"
echo '{}' >"$OUT"

# note NAME STATUS SECONDS LOG: adds a step; a log that ends in a JSON line gives its figures.
note() {
  "$PYTHON" - "$OUT" "$@" <<'EOF'
import json, os, sys
path, name, status, seconds, log = sys.argv[1:6]
result = json.load(open(path))
text = open(log, errors="replace").read() if os.path.exists(log) else ""
step = {"status": int(status), "seconds": round(float(seconds), 2), "log": text[-4000:]}
for line in reversed(text.splitlines()):
    if line.startswith("{"):
        try:
            step["figures"] = json.loads(line)
            step["log"] = text[: text.rindex(line)][-4000:]
        except ValueError:
            pass
        break
result[name] = step
with open(path + ".new", "w") as out:
    json.dump(result, out, indent=1)
    out.flush()
    os.fsync(out.fileno())
os.replace(path + ".new", path)
print(f"{name:10s} {'ok' if step['status'] == 0 else 'FAILED (%s)' % status:14s} {step['seconds']:8.1f} s", flush=True)
EOF
}

# step NAME LIMIT COMMAND...
step() {
  local name=$1 limit=$2 begin status
  shift 2
  begin=$(date +%s.%N)
  timeout -k 5 "$limit" "$@" >"$WORK/$name.log" 2>&1
  status=$?
  note "$name" "$status" "$("$PYTHON" -c "import time; print(time.time() - $begin)")" "$WORK/$name.log"
  return "$status"
}

cat >"$WORK/record.py" <<'EOF'
import importlib.metadata, json, platform, shutil, subprocess

def run(*command):
    if not shutil.which(command[0]):
        return None
    return subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.strip()

figures = {"python": platform.python_version(), "machine": platform.platform(), "commit": run("git", "rev-parse", "HEAD"),
           "gpu": run("nvidia-smi", "--query-gpu=name,driver_version,clocks.sm,clocks.mem,memory.total", "--format=csv,noheader"),
           "nvcc": (run("nvcc", "--version") or "").splitlines()[-2:]}
for package in ("torch", "cupy-cuda13x", "cupy-cuda12x", "numpy", "nvidia-cublas", "scikit-build-core", "pybind11", "pytest"):
    try:
        figures[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(figures))
EOF

cat >"$WORK/smoke.py" <<'EOF'
import json, os
import fastgrad

assert fastgrad.cuda.is_available(), "no CUDA device"
x = fastgrad.arange(1000, dtype=fastgrad.float32, device="cuda")
assert float((x + x).sum()) == 999000.0
worst = {}
for name, dtype in (("float32", fastgrad.float32), ("float64", fastgrad.float64), ("bfloat16", fastgrad.bfloat16)):
    a, b = fastgrad.randn(300, 200), fastgrad.randn(200, 100)
    y = (a.to("cuda").to(dtype) @ b.to("cuda").to(dtype)).cpu().to(fastgrad.float64)
    reference = a.to(dtype).to(fastgrad.float64) @ b.to(dtype).to(fastgrad.float64)
    worst[name] = float((y - reference).abs().max())
assert worst["float32"] < 1e-3 and worst["float64"] < 1e-10 and worst["bfloat16"] < 0.5, worst
# Large ones in every layout, with bias: our own are by warpgroups where there are any, with both widths of tiles (the
# first is narrow from 82 multiprocessors on, the others are wide up to 144).
for m, n, k in ((1088, 2112, 136), (2000, 2200, 136), (3120, 3648, 584)):
    a, b, bias = (fastgrad.randint(-4, 5, shape).to(fastgrad.float64) for shape in ((m, k), (k, n), (n,)))
    reference = a @ b + bias
    for dtype in (fastgrad.float16, fastgrad.bfloat16):
        left, right, added = (t.to("cuda").to(dtype) for t in (a, b, bias))
        for x in (left, left.t().contiguous().t()):
            for y in (right, right.t().contiguous().t()):
                error = (fastgrad.addmm(added, x, y).cpu().to(fastgrad.float64) - reference).abs().max()
                worst[f"{m}x{n}x{k} {dtype}"] = float(error / reference.abs().max())
                assert worst[f"{m}x{n}x{k} {dtype}"] < 2 * fastgrad.finfo(dtype).eps, worst
w = fastgrad.randn(50, 50, device="cuda", requires_grad=True)
(w.exp() * w).softmax(1).log().sum().backward()
assert bool(fastgrad.isfinite(w.grad).all())
# A second stream: its work is seen after wait_stream, a backward pass joins it by itself, memory in use is not handed out.
a = fastgrad.ones(2048, 2048, device="cuda", requires_grad=True)
side, begin, end = fastgrad.cuda.Stream(), *(fastgrad.cuda.Event(enable_timing=True) for _ in range(2))
begin.record()
side.wait_stream(fastgrad.cuda.current_stream())
with fastgrad.cuda.stream(side):
    assert fastgrad.cuda.current_stream() == side
    y = (a @ a).sum() / 2048
y.record_stream(fastgrad.cuda.current_stream())
y.backward()
end.record()
assert float(a.grad.sum()) == 2 * 2048.0**3 / 2048, float(a.grad.sum())
assert begin.elapsed_time(end) > 0
fastgrad.cuda.manual_seed(1)
first = fastgrad.randn(1000, device="cuda")
fastgrad.cuda.manual_seed(1)
assert fastgrad.equal(first, fastgrad.randn(1000, device="cuda"))
try:
    fastgrad.empty(1 << 48, device="cuda")
except fastgrad.cuda.OutOfMemoryError:
    pass
del a, y, first
fastgrad.cuda.empty_cache()
fastgrad.cuda.synchronize()
print(json.dumps({"matmul error": worst, "cublas": os.environ.get("FASTGRAD_CUBLAS", "auto")}))
EOF

cat >"$WORK/timings.py" <<'EOF'
"""Microseconds per call, median of rounds: each library in a process of its own, many calls between two synchronisations."""
import importlib, json, statistics, sys, time

name = sys.argv[1]
lib = importlib.import_module(name)
cupy = name == "cupy"
sync = lib.cuda.Device().synchronize if cupy else lib.cuda.synchronize
if name == "torch":
    lib.backends.cuda.matmul.allow_tf32 = False

def randn(*shape, dtype="float32"):
    if cupy:
        return lib.random.standard_normal(shape, dtype="float32").astype(dtype)
    return lib.randn(*shape, device="cuda").to(getattr(lib, dtype))

def measure(call, sets, seconds=0.4):
    for args in sets:
        call(*args)
    sync()
    begin = time.perf_counter()
    call(*sets[0])
    sync()
    once = max(time.perf_counter() - begin, 2e-6)
    calls = max(3, min(2000, int(seconds / 7 / once)))
    rounds = []
    for _ in range(7):
        begin = time.perf_counter()
        for k in range(calls):
            call(*sets[k % len(sets)])
        sync()
        rounds.append((time.perf_counter() - begin) / calls)
    return statistics.median(rounds) * 1e6

N = 1 << 26  # 256 MB of float32: far beyond the L2 cache
figures = {}

def case(title, call, *shapes, dtype="float32", sets=2, moved=0, flops=0):
    try:
        us = measure(call, [[randn(*shape, dtype=dtype) for shape in shapes] for _ in range(sets)])
        figures[title] = {"us": round(us, 2)}
        if moved:
            figures[title]["GB/s"] = round(moved / us / 1e3, 1)
        if flops:
            figures[title]["TFLOP/s"] = round(flops / us / 1e6, 2)
    except Exception as error:  # one missing function must not hide the other figures
        figures[title] = {"error": str(error)[:200]}

case("copy 64M", (lambda x: x.copy()) if cupy else (lambda x: x.clone()), (N,), moved=8 * N)
case("launch (add 64)", lambda a, b: a + b, (64,), (64,))
case("add 64M", lambda a, b: a + b, (N,), (N,), moved=12 * N)
case("exp 64M", lambda x: lib.exp(x), (N,), moved=8 * N)
case("tanh 64M", lambda x: lib.tanh(x), (N,), moved=8 * N)
case("broadcast row 64M", lambda a, b: a + b, (8192, 8192), (8192,), moved=8 * N)
case("sum 64M", lambda x: x.sum(), (N,), moved=4 * N)
case("sum rows 64M", lambda x: x.sum(1), (8192, 8192), moved=4 * N)
case("sum columns 64M", lambda x: x.sum(0), (8192, 8192), moved=4 * N)
case("argmax rows 64M", lambda x: x.argmax(1), (8192, 8192), moved=4 * N)
if not cupy:
    functional = importlib.import_module(name + ".nn.functional")
    case("add 64M bf16", lambda a, b: a + b, (N,), (N,), dtype="bfloat16", moved=6 * N)
    case("gelu 64M", lambda x: functional.gelu(x), (N,), moved=8 * N)
    case("softmax rows 64M", lambda x: lib.softmax(x, 1), (8192, 8192), moved=8 * N)
    case("layer norm 64M", lambda x: functional.layer_norm(x, (8192,)), (8192, 8192), moved=8 * N)
    case("transpose copy 64M", lambda x: x.t().contiguous(), (8192, 8192), moved=8 * N)
    case("cumsum rows 64M", lambda x: lib.cumsum(x, 1), (8192, 8192), moved=8 * N)
    case("randn 64M", lambda x: lib.randn(N, device="cuda"), (1,), moved=4 * N)
for m in (64, 512, 4096):
    case(f"matmul {m} f32", lambda a, b: a @ b, (m, m), (m, m), flops=2 * m**3)
if not cupy:
    for m in (512, 8192):
        case(f"matmul {m} bf16", lambda a, b: a @ b, (m, m), (m, m), dtype="bfloat16", flops=2 * m**3)
    case("matmul 8x8192x8192 bf16", lambda a, b: a @ b, (8, 8192), (8192, 8192), dtype="bfloat16", moved=2 * N)
    case("matmul 128x65536x128 bf16", lambda a, b: a @ b, (128, 65536), (65536, 128), dtype="bfloat16",
         flops=2 * 128 * 128 * 65536)
    case("matmul 512 x 64x64x64 bf16", lambda a, b: a @ b, (512, 64, 64), (512, 64, 64), dtype="bfloat16",
         flops=2 * 512 * 64**3)
    lib.backends.cuda.matmul.allow_tf32 = True
    case("matmul 4096 tf32", lambda a, b: a @ b, (4096, 4096), (4096, 4096), flops=2 * 4096**3)
    lib.backends.cuda.matmul.allow_tf32 = False
    case("matmul 96 x 128x64x128", lambda a, b: a @ b, (96, 128, 64), (96, 64, 128), flops=2 * 96 * 128 * 64 * 128)
case("matvec 8192", lambda a, b: a @ b, (8192, 8192), (8192,), moved=4 * N)
print(json.dumps(figures))
EOF

cat >"$WORK/train.py" <<'EOF'
"""One training step of a small network (launch-bound) and of a wide one, in microseconds."""
import importlib, json, sys, time

lib = importlib.import_module(sys.argv[1])
nn = importlib.import_module(sys.argv[1] + ".nn")
optim = importlib.import_module(sys.argv[1] + ".optim")
figures = {}
for title, batch, width, hidden in (("mlp 64-128-10", 64, 64, 128), ("mlp 1024-4096-1000", 1024, 1024, 4096)):
    model = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1000 if hidden > 1000 else 10)).to("cuda")
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    x = lib.randn(batch, width, device="cuda")
    target = lib.randint(0, 10, (batch,), device="cuda")
    loss_of = nn.CrossEntropyLoss()

    def train():
        optimizer.zero_grad()
        loss = loss_of(model(x), target)
        loss.backward()
        optimizer.step()
        return loss

    first = float(train())
    for _ in range(20):
        train()
    lib.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(100):
        loss = train()
    lib.cuda.synchronize()
    figures[title] = {"us": round((time.perf_counter() - begin) * 1e4, 1), "loss": [first, float(loss)]}
print(json.dumps(figures))
EOF

have() { "$PYTHON" -c "import $1" >/dev/null 2>&1; }

step record 20 "$PYTHON" "$WORK/record.py"
step build 180 env CMAKE_BUILD_PARALLEL_LEVEL="$(nproc)" "$PYTHON" -m pip install -q --no-build-isolation --no-deps \
  -C cmake.define.FASTGRAD_CUDA=ON -C "cmake.define.FASTGRAD_CUDA_ARCHS=$ARCHS" . || exit 1
cd "$WORK" # so that the installed package is imported
ROOT=$OLDPWD
step smoke 60 "$PYTHON" smoke.py || exit 1
# Products of our own; where the device has wgmma, one that should use it and cannot is an error.
own=(env FASTGRAD_CUBLAS=0 FASTGRAD_REQUIRE_WGMMA=1)
step smoke_own 60 "${own[@]}" "$PYTHON" smoke.py

workers=()
have xdist && workers=(-n 8)
pytest=("$PYTHON" -m pytest -q --maxfail=20 -p no:cacheprovider "${workers[@]}")
tests=("${pytest[@]}" "$ROOT/tests")
if [ "$QUICK" = 1 ]; then
  tests+=(-k "cuda and (add or exp or sum or softmax or matmul or gather)")
else
  tests+=(-k cuda)
fi
step tests 200 env FASTGRAD_DEVICE=cuda "${tests[@]}"
step tests_own 60 "${own[@]}" FASTGRAD_DEVICE=cuda "${pytest[@]}" -k cuda "$ROOT/tests/test_device_matmul.py"

if [ "$QUICK" = 0 ]; then
  if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck; do
      step "$tool" 60 env FASTGRAD_CUBLAS=0 compute-sanitizer --tool "$tool" --error-exitcode 9 "$PYTHON" smoke.py
    done
  fi
  step timings 60 "$PYTHON" timings.py fastgrad
  step timings_own_matmul 60 env FASTGRAD_CUBLAS=0 "$PYTHON" timings.py fastgrad
  step train 40 "$PYTHON" train.py fastgrad
  for other in torch cupy; do
    have "$other" && step "timings_$other" 60 "$PYTHON" timings.py "$other"
  done
  have torch && step train_torch 40 "$PYTHON" train.py torch
  against=torch
  have torch || against=""
  have cupy && against="${against:+$against,}cupy"
  cd "$ROOT" && step cases 90 "$PYTHON" -m benchmarks --device cuda --against "$against" --rounds 1 --budget 0.02 \
    --filter \
    overhead/small_add,overhead/small_mul,overhead/small_exp,overhead/scalar_,overhead/chain,elementwise/add_16M,elementwise/exp_16M,elementwise/add_transposed,elementwise/broadcast_row,elementwise/chain_forward,reduction/sum_,reduction/softmax_16M,reduction/argmax_rows,reduction/cumsum_,sgemm_1024,sgemm_4096,matmul/linear_forward,matmul/attention_forward,reduction/layer_norm_forward,conv3x3_56x64,depthwise3x3_112x32,batch_norm_train,layout/sort_1M \
    --out "${OUT%.json}_cases"
fi

"$PYTHON" - "$OUT" <<'EOF'
import json, sys

result = json.load(open(sys.argv[1]))
ours = result.get("timings", {}).get("figures", {})
others = {n: result.get("timings_" + n, {}).get("figures", {}) for n in ("torch", "cupy")}
if ours:
    print(f"{'us per call':28s} {'fastgrad':>10s} {'torch':>10s} {'cupy':>10s} {'GB/s':>8s} {'TFLOP/s':>8s}")
for title, figure in ours.items():
    cells = [str(f.get(title, {}).get("us", "-")) for f in (ours, others["torch"], others["cupy"])]
    print(f"{title:28s} {cells[0]:>10s} {cells[1]:>10s} {cells[2]:>10s} {figure.get('GB/s', ''):>8} {figure.get('TFLOP/s', ''):>8}")
print("written:", sys.argv[1])
sys.exit(any(step["status"] for name, step in result.items()))
EOF
