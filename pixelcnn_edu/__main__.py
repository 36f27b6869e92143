from pixelcnn_edu.cli import main

main()
