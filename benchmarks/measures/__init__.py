"""What is measured: a module a subject, each with ``measure(side, settings) -> figures``, run in a process of its own."""
