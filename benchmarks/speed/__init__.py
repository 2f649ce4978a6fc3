"""What `make bench` measures: a file per kind of work, with a function `rows(options)` that yields its table rows."""
