"""Quantities as people read them. Pure."""


def duration(seconds: float | None) -> str:
    """The two largest units: 12s, 3m 20s, 5h 12m, 8d 4h. Empty for None."""
    if seconds is None:
        return ""
    whole = int(seconds)
    for unit, size, below, part in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size}{unit} {whole % size // part}{below}"
    return f"{whole}s"


def size(count: int | None) -> str:
    """Bytes: 812 KB, 12.4 MB, 1.2 GB (powers of 1024). Empty for None."""
    if count is None:
        return ""
    value = count / 1024
    for unit in ("KB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "KB" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    return ""


def percent(value: float | None) -> str:
    """Of one CPU: 0.3 %, 45 %. Empty for None."""
    if value is None:
        return ""
    return f"{value:.1f} %" if value < 10 else f"{value:.0f} %"


def milliseconds(seconds: float | None) -> str:
    """A latency: 0.3 ms, 24 ms, 1.2 s. Empty for None."""
    if seconds is None:
        return ""
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.1f} ms" if seconds < 0.01 else f"{seconds * 1000:.0f} ms"
