"""Short-time Fourier transform and its inverse: compositions of views, `fft` and an overlapping sum."""
from . import _C, _overrides, fft

Tensor = _C.Tensor


def _full_window(window, n_fft, win_length, like):
    """The window in the middle of n_fft points, ones where there is none."""
    if window is None:
        window = _C.ones(win_length, dtype=like.dtype.to_real(), device=like.device)
    before = (n_fft - win_length) // 2
    after = n_fft - win_length - before
    if not before and not after:
        return window
    return _C.cat([window.new_zeros(before), window, window.new_zeros(after)])


def _check_window(name, window, win_length):
    if window is not None and (window.dim() != 1 or window.shape[0] != win_length):
        raise RuntimeError(f"{name}: expected a 1D window tensor of size equal to win_length={win_length}, but got "
                           f"window with size {list(window.shape)}")


def stft(input, n_fft, hop_length=None, win_length=None, window=None, center=True, pad_mode="reflect", normalized=False,
         onesided=None, return_complex=None, align_to_window=None):
    """Return the transforms of windowed pieces of a signal (..., time), as (..., frequency, piece).

    A piece has n_fft points and starts hop_length (a quarter of that) after the one before. center: the signal is
    extended so that pieces are centred on their place; onesided: the half spectrum, by default of real signals.

    >>> fastgrad.stft(fastgrad.ones(16), 4, return_complex=True).shape
    torch.Size([3, 17])
    """
    if not isinstance(input, Tensor):
        raise TypeError(f"stft(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    if center and align_to_window:
        raise RuntimeError("stft align_to_window should only be set when center = false")
    hop_length = n_fft // 4 if hop_length is None else hop_length
    win_length = n_fft if win_length is None else win_length
    complex_values = input.is_complex() or (window is not None and window.is_complex())
    if return_complex is None:
        if not complex_values:
            raise RuntimeError("stft requires the return_complex parameter be given for real inputs, and will further "
                               "require that return_complex=True in a future PyTorch release.")
        return_complex = True
    if not (input.dtype.is_floating_point or input.dtype.is_complex) or not 1 <= input.dim() <= 2:
        raise RuntimeError(f"stft: expected a tensor with shape (B?, L) of floating point or complex values, got "
                           f"{input.dtype} of shape {list(input.shape)}")
    signal = input if input.dim() == 2 else input.unsqueeze(0)
    if center:
        from .nn.functional import pad
        signal = pad(signal.unsqueeze(0), [n_fft // 2] * 2, pad_mode).squeeze(0)
    length = signal.shape[1]
    if not 0 < n_fft <= length:
        raise RuntimeError(f"stft: expected 0 < n_fft <= {length}, but got n_fft={n_fft}")
    if hop_length <= 0:
        raise RuntimeError(f"stft: expected hop_length > 0, but got hop_length={hop_length}")
    if not 0 < win_length <= n_fft:
        raise RuntimeError(f"stft: expected 0 < win_length <= n_fft, but got win_length={win_length}")
    _check_window("stft", window, win_length)
    onesided = not complex_values if onesided is None else onesided
    if onesided and complex_values:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    if align_to_window and win_length < n_fft:
        raise NotImplementedError("stft: align_to_window is supported for windows of n_fft points only")
    pieces = signal.unfold(1, n_fft, hop_length)
    if window is not None or win_length < n_fft:
        pieces = pieces * _full_window(window, n_fft, win_length, input)
    norm = "ortho" if normalized else None
    result = (fft.rfft if onesided else fft.fft)(pieces, norm=norm).transpose(1, 2)
    result = result if input.dim() == 2 else result.squeeze(0)
    return result if return_complex else _C.view_as_real(result)


def _overlapping_sum(pieces, length, hop_length):
    """(batch, pieces, points) added up where they lie in signals (batch, length)."""
    batch, count, points = pieces.shape
    starts = _C.arange(count, device=pieces.device) * hop_length
    places = starts.unsqueeze(1) + _C.arange(points, device=pieces.device)
    start = _C.zeros(batch, length, dtype=pieces.dtype, device=pieces.device)
    return start.index_add(1, places.reshape(-1), pieces.reshape(batch, -1))


def istft(input, n_fft, hop_length=None, win_length=None, window=None, center=True, normalized=False, onesided=None,
          length=None, return_complex=False):
    """Return the signal (..., time) whose `stft` is nearest to `input`, (..., frequency, piece).

    The arguments are those of `stft`; length: how much of the signal to return; return_complex: a complex signal.
    """
    if not isinstance(input, Tensor):
        raise TypeError(f"istft(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    hop_length = n_fft // 4 if hop_length is None else hop_length
    win_length = n_fft if win_length is None else win_length
    if not input.is_complex():
        raise RuntimeError("istft requires a complex-valued input tensor matching the output from stft with "
                           "return_complex=True.")
    if input.numel() == 0 or not 2 <= input.dim() <= 3:
        raise RuntimeError(f"istft: expected a tensor with 2 or 3 dimensions and elements, got shape "
                           f"{list(input.shape)}")
    spectrum = input if input.dim() == 3 else input.unsqueeze(0)
    bins, count = spectrum.shape[1:]
    onesided = bins != n_fft if onesided is None else onesided
    wanted = n_fft // 2 + 1 if onesided else n_fft
    if bins != wanted:
        size = "n_fft / 2 + 1 when onesided=True" if onesided else "n_fft when onesided=False"
        raise RuntimeError(f"istft: expected the frequency dimension (3rd to the last) of the input tensor to match "
                           f"{size}, but got {bins}")
    if not 0 < hop_length <= win_length:
        raise RuntimeError(f"istft: expected 0 < hop_length <= win_length, got hop_length={hop_length}")
    if not 0 < win_length <= n_fft:
        raise RuntimeError(f"istft: expected 0 < win_length <= n_fft, got win_length={win_length}")
    _check_window("istft", window, win_length)
    window = _full_window(window, n_fft, win_length, input)
    norm = "ortho" if normalized else None
    spectrum = spectrum.transpose(1, 2)
    if return_complex:
        if onesided:
            raise RuntimeError("istft: cannot have onesided output if window or input is complex")
        pieces = fft.ifft(spectrum, norm=norm)
    else:
        if window.is_complex():
            raise RuntimeError("Complex windows are incompatible with return_complex=False")
        pieces = fft.irfft(spectrum if onesided else spectrum[..., :n_fft // 2 + 1], n_fft, norm=norm)
    whole = n_fft + hop_length * (count - 1)
    start = n_fft // 2 if center else 0
    end = start + length if length is not None else whole - n_fft // 2 if center else whole
    signal = _overlapping_sum(pieces * window, whole, hop_length)[:, start:end]
    weight = _overlapping_sum((window * window).expand(1, count, n_fft), whole, hop_length)[:, start:end]
    least = weight.detach().abs().min().item()
    if least < 1e-11:
        raise RuntimeError(f"istft: window overlap add min: {least}")
    signal = signal / weight
    if end > whole:
        import warnings
        warnings.warn("The length of signal is shorter than the length parameter. Result is being padded with zeros in "
                      "the tail. Please check your center and hop_length settings.", stacklevel=2)
        signal = _C.cat([signal, signal.new_zeros(signal.shape[0], end - whole)], 1)
    return signal if input.dim() == 3 else signal.squeeze(0)


globals().update(_overrides.publish(globals(), "fastgrad", ("stft", "istft")))
