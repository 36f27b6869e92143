"""What all things to play with have in common: two faces, one live in a kernel, one for a page without a kernel."""

import ipywidgets

__all__ = ["TwoFaces"]


class TwoFaces(ipywidgets.VBox):
    """A live widget that leaves its `_page()` in a stored notebook: one piece of HTML, alive by its own script."""

    def _page(self):
        """The HTML for a page without a kernel; each widget has its own."""
        raise NotImplementedError

    def __repr__(self):
        return f"{type(self).__name__}: run this cell, or open the built page, to move it"

    def _repr_mimebundle_(self, **options):  # ipywidgets 8; version 7 shows the live face alone
        return {**super()._repr_mimebundle_(**options), "text/plain": repr(self), "text/html": self._page()}
