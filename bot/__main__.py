"""python -m bot is the command huitou."""

from bot.cli import main

main()
