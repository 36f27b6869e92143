"""A trained network for a page, where its reader has no kernel: weights as a script, and the engine that runs them.

`engine.js` is the network in JavaScript, `engine.c` the same for WebAssembly, which `engine_wasm.js` holds compiled. A
figure takes all of it into its own HTML by `figure_scripts`; weights come from a script of their own, once a page.
"""

from pixelcnn_edu.live.picture import LivePicture
from pixelcnn_edu.live.weights import engine, figure_scripts, page_weights, weights_script

__all__ = ["LivePicture", "engine", "figure_scripts", "page_weights", "weights_script"]
