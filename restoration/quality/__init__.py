"""Quality scores of derivatives and sources. Each score has a metric, a comparison image, a colour space and a data
range.

All are computed from encoded values in [0, 1]. The pictures are read together, window by window; on the processor a
second time for what was filled in, and again for style scores. Only a few windows are in memory, however large the
pictures are.

On the processor (``processor_measurement``) each window is divided into blocks of 128x512 px at fixed positions. Any
thread can process a block; its results are added as integers, so the order doesn't matter. So a score is the same to
the last bit, independent of the windows and the number of threads. On a GPU (``gpu_measurement``) whole windows are
processed in double precision.
"""

from __future__ import annotations

from restoration.quality.change_detection import ChangeMap, change_map, count_filled
from restoration.quality.scores import Score, score
from restoration.quality.style_distance import StyleEvaluation

__all__ = ["ChangeMap", "Score", "StyleEvaluation", "change_map", "count_filled", "score"]
