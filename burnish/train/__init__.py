"""The learner, its loop, callbacks, schedules, precision, checkpoints."""
