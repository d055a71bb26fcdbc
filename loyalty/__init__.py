"""The loyalty core: people, points, rewards. Ground ring; knows no chat."""
