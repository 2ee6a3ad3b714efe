"""The task as a whole."""

import numpy as np
import pytest
import torch

from oncotrain.errors import DataError, UserError
from oncotrain.tasks import create_task
from oncotrain.tasks.histology.matching import aggregated_jaccard, overlaps
from oncotrain.tasks.histology.postprocess import majority_classes, separate
from oncotrain.tasks.histology.targets import target_maps
from support.tiles import CLASSES, tile_features, tile_row


def test_settings_are_checked():
    with pytest.raises(UserError, match=r"run\.yaml: unknown key 'width'"):
        create_task({"name": "histology", "width": 3}, "run.yaml")
    with pytest.raises(UserError, match="multiples of 8"):
        create_task({"name": "histology", "widths": [12, 24]}, "run.yaml")


@pytest.mark.parametrize(("key", "value"), [("spacing", 0.5), ("tile", 32), ("classes", ["tumour"])])
def test_participants_must_offer_the_same(task, plan, key, value):
    contracts = [task.contract(tile_features(64)), task.contract(tile_features(64) | {key: value})]
    with pytest.raises(UserError, match=f"'{key}'"):
        task.agree(contracts)
    with pytest.raises(UserError, match=f"'{key}'"):
        task.adapt(tile_features(64) | {key: value}, plan)
    assert task.agree(contracts[:1] * 3) == contracts[0]


def test_a_dataset_of_another_kind_is_refused(task):
    with pytest.raises(UserError, match="'tiles'"):
        task.contract({"kind": "samples"})


def test_statistics_are_of_valid_pixels_and_merge_to_those_of_the_union(task):
    rows = [tile_row(0), tile_row(1, valid=(30, 20)), tile_row(2, labelled=0)]
    contract = task.contract(tile_features(64))
    parts = [task.statistics(contract, rows[:1], 1), task.statistics(contract, rows[1:], 1)]
    plan = task.plan(contract, task.merge_statistics(parts))
    pixels = np.concatenate([row["pixels"][row["valid"] > 0] for row in rows]) / 255
    np.testing.assert_allclose(plan["mean"], pixels.mean(0))
    np.testing.assert_allclose(plan["std"], pixels.std(0))
    areas = [(row["instances"] == number).sum() for row in rows[:2] for number in np.unique(row["instances"])[1:]]
    assert plan["nucleus_area"] == pytest.approx(np.mean(areas))


def test_nothing_to_learn_from_is_an_error(task):
    contract = task.contract(tile_features(64))
    with pytest.raises(DataError, match="0 labelled nuclei"):
        task.plan(contract, task.statistics(contract, [tile_row(0, nuclei=0)], 1))


def test_a_batch_is_a_function_of_rows_and_generators(task, plan):
    rows = [tile_row(0), tile_row(1, valid=(30, 60))]
    first, second = (task.collate(rows, plan, [np.random.default_rng(n) for n in (3, 4)]) for _ in range(2))
    assert first["pixels"].shape == (2, 3, 48, 48)
    assert first["known"].dtype == torch.float32
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name])
    swapped = task.collate(rows[::-1], plan, [np.random.default_rng(n) for n in (4, 3)])
    assert torch.equal(swapped["pixels"], first["pixels"].flip(0))


def test_several_crops_of_a_tile_differ(plan):
    task = create_task({"name": "histology", "widths": [8, 16], "crop": 32, "crops_per_tile": 2}, "test.yaml")
    batch = task.collate([tile_row(0)], plan, [np.random.default_rng(0)])
    assert len(batch["maps"]) == 2
    assert not torch.equal(batch["pixels"][0], batch["pixels"][1])


@pytest.mark.parametrize("size", [(64, 64), (33, 50), (7, 5)])
def test_the_network_answers_at_the_size_it_is_asked(task, plan, size):
    model = task.model(plan)
    assert model(torch.zeros(2, 3, *size)).shape == (2, 5, *size)


def test_inference_in_pieces_is_close_to_one_pass(plan):
    pieces, whole = (
        create_task({"name": "histology", "widths": [8, 16], "window": window, "halo": 16}, "test.yaml")
        for window in (64, 128)
    )
    torch.manual_seed(0)
    model = pieces.model(plan)
    unit = pieces.assemble([tile_row(0, side=128, valid=(100, 128))])
    with torch.inference_mode():
        one, many = (task.infer(model, plan, unit)["distance"] for task in (whole, pieces))
    assert one.shape == (100, 128)
    assert np.abs(one - many).mean() < 0.05  # group normalization sees the piece, not the image


def test_views_make_prediction_follow_a_turned_image(plan):
    task = create_task({"name": "histology", "widths": [8, 16], "views": 8}, "test.yaml")
    torch.manual_seed(0)
    model = task.model(plan)
    unit = task.assemble([tile_row(0, valid=(64, 48))])
    turned = unit | {name: np.rot90(unit[name]).copy() for name in ("pixels", "valid")}
    mirrored = unit | {name: np.fliplr(unit[name]).copy() for name in ("pixels", "valid")}
    with torch.inference_mode():
        first, second, third = (task.infer(model, plan, each)["foreground"] for each in (unit, turned, mirrored))
    np.testing.assert_allclose(np.rot90(first), second, atol=1e-5)
    np.testing.assert_allclose(np.fliplr(first), third, atol=1e-5)


def test_exact_maps_give_back_every_nucleus(task, plan):
    row = tile_row(5, side=256, nuclei=30)
    truth = row["instances"]
    foreground, boundary, distance = target_maps(truth)
    scores = np.stack([row["classes"] == number for number in (1, 2)]).astype(np.float32)
    raw = {"foreground": foreground, "boundary": boundary, "distance": distance, "scores": scores}
    for decision in task.decisions():
        prediction = task.decide(raw, plan | {"nucleus_area": 60.0}, decision)
        assert aggregated_jaccard(overlaps(truth, prediction["instances"])) > 0.97
        figures = task.figures(task.measure(task.assemble([row]), prediction, plan))
        assert figures["f1"] > 0.95
        assert figures["pq_lymphocyte"] > 0.9


def test_touching_nuclei_are_separated_and_specks_dropped():
    truth = np.zeros((40, 60), np.int32)
    truth[10:30, 10:30] = 1
    truth[10:30, 30:50] = 2
    truth[2:4, 2:4] = 3
    decision = {"foreground": 0.5, "marker": 0.3, "smallest": 0.1}
    found = separate(*target_maps(truth), decision, mean_area=400)
    assert found.dtype == np.int32
    assert found.max() == 2
    assert found[20, 20] != found[20, 40]
    np.testing.assert_array_equal(found > 0, np.isin(truth, (1, 2)))


def test_a_faint_nucleus_without_a_core_is_kept_whole():
    foreground = np.zeros((30, 60), np.float32)
    foreground[5:25, 5:25] = foreground[5:25, 35:55] = 0.9
    distance = np.where(np.arange(60) < 30, 0.9, 0.1).astype(np.float32) * foreground
    decision = {"foreground": 0.5, "marker": 0.4, "smallest": 0.1}
    found = separate(foreground, np.zeros_like(foreground), distance, decision, mean_area=400)
    assert [(found == number).sum() for number in (1, 2)] == [400, 400]


def test_an_instance_has_the_class_of_its_largest_score():
    instances = np.array([[1, 1, 1, 2]], np.int32)
    scores = np.array([[[0.4, 0.4, 0.9, 0.2]], [[0.6, 0.6, 0.1, 0.8]]], np.float32)
    np.testing.assert_array_equal(majority_classes(instances, scores), [1, 2])
    assert majority_classes(np.zeros((1, 4), np.int32), scores).shape == (0,)


def test_invalid_pixels_are_never_nuclei(task, plan):
    model = task.model(plan)
    torch.nn.init.constant_(model.head.bias, 9.0)
    unit = task.assemble([tile_row(0, side=32), tile_row(1, side=32) | {"x": 64}])
    with torch.inference_mode():
        raw = task.infer(model, plan, unit)
    assert not raw["foreground"][:, 32:64].any()
    assert raw["scores"].shape == (len(CLASSES), 32, 96)


def test_a_short_training_finds_nuclei():
    task = create_task({"name": "histology", "widths": [16, 32], "crop": 64}, "test.yaml")
    rows = [tile_row(seed, side=128, nuclei=10) for seed in range(4)]
    contract = task.contract(tile_features(128))
    plan = task.plan(contract, task.statistics(contract, rows, 1))
    torch.manual_seed(0)
    model = task.model(plan)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for step in range(60):
        batch = task.collate(rows, plan, [np.random.default_rng([step, n]) for n in range(len(rows))])
        loss, count = task.loss(model, batch)
        optimizer.zero_grad()
        (loss / count).backward()
        optimizer.step()
    unit = task.assemble([tile_row(9, side=128, nuclei=10)])
    with torch.inference_mode():
        raw = task.infer(model, plan, unit)
    candidates = [task.figures(task.measure(unit, task.decide(raw, plan, each), plan)) for each in task.decisions()]
    best = max(candidates, key=lambda figures: figures[task.primary])
    assert best["dice"] > 0.7
    assert best["aji"] > 0.4
