"""Write the stored pictures of `LivePicture` from the CIFAR-10 test set, side by side in one PNG.

usage: live_pictures.py
"""

from pixelcnn_edu import load_images
from pixelcnn_edu.live.picture import HERE, PICTURES, sprite

if __name__ == "__main__":
    images, _ = load_images("cifar10", "test")
    (HERE / "pictures.png").write_bytes(sprite(images[list(PICTURES)]))
