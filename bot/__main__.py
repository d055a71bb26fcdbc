"""The command `huitou`, and `python -m bot` the same."""

import gc

gc.disable()  # nothing the imports build is garbage: looking for it costs a sixth of the start

from bot.cli import main  # noqa: E402

gc.freeze()
gc.enable()

if __name__ == "__main__":
    main()
