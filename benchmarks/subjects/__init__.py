"""One file a subject, each with `measure(setting, subject)`; the docstring of a file stands in the report."""
