"""Where a channel's state lies in the kernels' blocks, and what is copied on the way."""

from __future__ import annotations

import torch

from models.lane_layout import arrays, channel_rows, dense, lane_blocks


def test_a_block_holds_sixteen_neighbouring_channels_side_by_side():
    rows = torch.arange(2 * 48 * 3, dtype=torch.float32).reshape(2, 48, 3)
    blocks = lane_blocks(rows)
    assert blocks.shape == (2, 3, 3, 16)
    assert blocks.is_contiguous()
    assert blocks[1, 2, 0, 5] == rows[1, 2 * 16 + 5, 0]
    assert torch.equal(channel_rows(blocks), rows)


def test_blocks_are_a_copy_also_of_one_state_a_channel():
    rows = torch.zeros(1, 16, 1)
    lane_blocks(rows).fill_(1.0)
    assert rows.sum() == 0


def test_only_what_is_no_dense_float32_is_copied():
    wide = torch.zeros(4, 6)
    assert dense(wide[:, 2:]).data_ptr() == wide[:, 2:].data_ptr()
    assert dense(wide.t()).stride() == (4, 1)
    assert dense(wide.half()).dtype == torch.float32


def test_an_array_is_the_tensors_own_memory():
    tensor = torch.zeros(3, requires_grad=True)
    (array,) = arrays(tensor)
    array[1] = 5
    assert tensor.tolist() == [0, 5, 0]
