"""The bundled `signs` data: the 43 classes of GTSRB, drawn by this package, 32 x 32 pixels.

`render` draws one image, `render_set` many, `freeze.load_test` reads the frozen test split.
"""
