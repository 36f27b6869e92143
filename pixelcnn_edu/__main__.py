import sys

from pixelcnn_edu.cli import main

sys.exit(main())
