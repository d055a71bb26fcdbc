"""Understanding: text in, scenarios with reasons out. Ground ring; knows no database, transport or chat."""
