"""Quality scores: what each says, of which image, compared with what, in which colour space and data range.

All are of encoded values in [0, 1]. The pictures are read together, window by window, and again for style
scores. Each window is cut into blocks of 64x512 px that always lie at the same places. A block is worked out by itself,
by any thread; what the blocks give is added in whole numbers, in which the order doesn't matter. So a value depends
neither on the windows nor on the number of threads, in any bit, and no more than a few windows are in memory, however
large the pictures are.
"""

from __future__ import annotations

from restoration.quality.change_detection import ChangeMap, change_map
from restoration.quality.scores import Score, score
from restoration.quality.style_distance import StyleEvaluation

__all__ = ["ChangeMap", "Score", "StyleEvaluation", "change_map", "score"]
