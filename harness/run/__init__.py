"""The main job, put together: one model, one suite, one slice, from options to a summary on disk."""
