"""The networks: generator, face parser, VGG16 features, and the bundle that holds them."""
