"""Fidelities: known values, precision and schedules."""

from __future__ import annotations

import pytest
import torch

from invkit.core.errors import InputError, RecipeError
from invkit.fidelities.norms import L1, MSE
from invkit.fidelities.schedule import Schedule
from invkit.fidelities.ssim import SSIM
from invkit.testing.common import drawn

ONES, HALVES = torch.ones(2, 3, 12, 11), torch.full((2, 3, 12, 11), 0.5)


def test_known_values_of_two_flat_images() -> None:
    assert MSE()(ONES, HALVES).tolist() == [0.25, 0.25]
    assert L1()(ONES, HALVES).tolist() == [0.5, 0.5]
    similarity = (2 * 0.5 + 1e-4) / (1 + 0.25 + 1e-4)  # from the means; the variances are zero
    assert SSIM()(ONES, HALVES).tolist() == pytest.approx([1 - similarity] * 2, abs=5e-5)  # float32 over C2 = 9e-4


class TestSSIM:
    def test_for_an_image_and_its_negative_it_is_above_one(self) -> None:
        image = drawn((1, 1, 16, 16))
        assert 1 < float(SSIM()(1 - image, image)) <= 2

    def test_it_is_computed_in_float32_under_autocast_and_for_bfloat16(self) -> None:
        predicted, data = drawn((1, 1, 32, 32), 1), drawn((1, 1, 32, 32), 2)
        expected = SSIM()(predicted, data)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(SSIM()(predicted, data), expected)
        low = predicted.bfloat16(), data.bfloat16()
        assert torch.equal(SSIM()(*low), SSIM()(low[0].float(), low[1].float()))

    def test_images_smaller_than_the_window_are_refused(self) -> None:
        with pytest.raises(InputError, match="at least 11x11 pixels, got 10x40"):
            SSIM()(torch.zeros(1, 1, 10, 40), torch.zeros(1, 1, 10, 40))


class TestSchedule:
    def test_each_fidelity_is_used_until_its_end(self) -> None:
        first, second, third = MSE(), L1(), SSIM()
        schedule = Schedule([(first, 2), (second, 5), (third, None)])
        served = [schedule.at(iteration) for iteration in (0, 1, 2, 4, 5, 1000)]
        assert [served.index(stage) for stage in served] == [0, 0, 2, 2, 4, 4]
        assert served[::2] == [first, second, third]

    def test_without_an_iteration_it_is_its_last_fidelity(self) -> None:
        assert torch.equal(Schedule([(MSE(), 3), (L1(), None)])(ONES, HALVES), L1()(ONES, HALVES))

    def test_a_schedule_may_contain_a_schedule(self) -> None:
        first, second, third = MSE(), L1(), MSE()
        inner = Schedule([(second, 8), (third, None)])
        outer = Schedule([(first, 4), (inner, None)])
        assert [outer.at(i) for i in (3, 4, 8)] == [first, second, third]

    def test_its_fidelities_move_with_it(self) -> None:
        assert Schedule([(MSE(), 1), (SSIM(), None)]).double().at(1).window.dtype == torch.float64

    @pytest.mark.parametrize(
        ("untils", "message"),
        [
            ([], "at least one"),
            ([3], "leave out its 'until_iteration', which is 3"),
            ([None, None], "every fidelity but the last"),
            ([5, 5, None], "increase"),
            ([5, 2, None], "increase"),
            ([0, None], "above 0"),
        ],
    )
    def test_inconsistent_ends_are_refused(self, untils: list[int | None], message: str) -> None:
        with pytest.raises(RecipeError, match=message):
            Schedule([(MSE(), until) for until in untils])
