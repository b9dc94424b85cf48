"""The driving half of the interop suite: it needs nothing but the standard library."""
