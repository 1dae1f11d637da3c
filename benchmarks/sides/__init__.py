"""The two libraries behind one small face, so that what is measured is one and the same code."""
