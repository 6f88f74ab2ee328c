"""Pictures: what they show, that labels are legible and apart, and what is refused."""

import itertools
import pathlib

import matplotlib.image
import numpy as np
import pytest

from attention.lab.pictures import fonts, heat_maps, plots

ENGLISH = ["▁yester", "day", "▁the", "▁teacher", "▁bought", "▁three", "▁books", "</s>"]
CHINESE = ["老师", "昨天", "买了", "三", "本", "书", "。", "</s>"]


def weights(*shape: int) -> np.ndarray:
    scores = np.random.default_rng(0).normal(size=shape) * 3
    return np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)


@pytest.fixture
def bare(monkeypatch):
    """A machine with no fonts but matplotlib's own."""
    dejavu = fonts._packaged()[-1:]
    monkeypatch.setattr(fonts, "_packaged", lambda: dejavu)
    monkeypatch.setattr(fonts, "_registered", {})
    monkeypatch.setattr(fonts.font_manager, "findSystemFonts", list)
    fonts._hint.cache_clear()


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (5, 8, 8)])
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_attention_map_writes_a_picture(tmp_path, shape, suffix):
    # A character that no font has would be a warning, hence an error here.
    path = tmp_path / "plots" / f"map.{suffix}"
    assert plots.attention_map(weights(*shape), CHINESE, ENGLISH, path, "交叉注意力") == path
    assert path.stat().st_size > 1000
    if suffix == "png":
        pixels = matplotlib.image.imread(path)
        assert min(pixels.shape[:2]) > 300
        assert len(np.unique(pixels[..., 0])) > 50


def test_each_weight_stands_at_its_query_and_key():
    shown = weights(3, 2, 4)
    figure = heat_maps.draw(shown, ["a", "b"], ["k", "l", "m", "n"], "title")
    panels = [axis for axis in figure.axes if axis.images]
    assert len(panels) == 3
    for panel, weights_QK in zip(panels, shown, strict=True):
        np.testing.assert_array_equal(panel.images[0].get_array(), weights_QK)
        assert panel.images[0].origin == "upper"
        assert panel.images[0].norm.vmax == shown.max()  # one scale for all heads
    assert [text.get_text() for text in panels[0].get_xticklabels()] == ["k", "l", "m", "n"]
    assert [text.get_text() for text in panels[0].get_yticklabels()] == ["a", "b"]


@pytest.mark.parametrize(
    ("queries", "keys"),
    [
        (CHINESE, ENGLISH),
        (ENGLISH, [*CHINESE, "好朋友们", "图书馆"]),
        (["一"] * 5, ["internationalisation"] * 30),
        (["图书馆"] * 50, ["图书馆"] * 50),
        (["x"] * 130, ["tok"] * 300),
    ],
)
def test_labels_do_not_overlap(queries, keys):
    with plots._style("".join(queries + keys)):
        figure = heat_maps.draw(weights(1, len(queries), len(keys)), queries, keys, "")
        figure.draw_without_rendering()
    panel = figure.axes[0]
    for labels in (panel.get_xticklabels(), panel.get_yticklabels()):
        boxes = [text.get_window_extent() for text in labels]
        assert boxes
        for before, after in itertools.pairwise(boxes):
            assert not before.shrunk(0.9, 0.9).overlaps(after.shrunk(0.9, 0.9))


def test_a_title_may_have_two_lines(monkeypatch, tmp_path):
    titles = []
    draw = heat_maps.draw
    monkeypatch.setattr(heat_maps, "draw", lambda *a: titles.append(a[-1]) or draw(*a))
    plots.attention_map([[1.0]], ["a"], ["b"], tmp_path / "map.png", "老师\nTeacher")
    assert titles == ["老师\nTeacher"]


def test_negative_weights_are_white_at_zero():
    scale, colours = heat_maps._scale(np.array([[[0.5, -2.0, np.nan]]]))
    assert (scale.vmin, scale.vmax, colours) == (-2.0, 2.0, "RdBu_r")


@pytest.mark.parametrize("token", ["$x$", "$\\bad{", "\n", "\t", "", "#", "\u202e"])
def test_any_token_can_be_drawn(tmp_path, token):
    plots.attention_map([[1.0, np.nan]], [token], [token, "b"], tmp_path / "map.png", token)


@pytest.mark.parametrize("shape", [(2, 3), (3,), (1, 3, 3), (1, 1, 2, 2), (2, 0)])
def test_sizes_that_do_not_fit_are_refused(tmp_path, shape):
    with pytest.raises(ValueError, match=r"weights has shape .* 2 queries and K = 2 keys"):
        plots.attention_map(np.ones(shape), ["a", "b"], ["c", "d"], tmp_path / "map.png")
    assert not list(tmp_path.iterdir())


def test_no_queries_are_refused(tmp_path):
    with pytest.raises(ValueError, match="none of them 0"):
        plots.attention_map(np.ones((0, 1)), [], ["c"], tmp_path / "map.png")


def test_chinese_comes_from_the_packaged_font():
    assert fonts.families("老师")[0] == "Noto Sans SC"
    assert fonts.legible(["老师", "Straße"]) == ["老师", "Straße"]


def test_without_a_font_chinese_becomes_code_points_and_a_hint(bare, tmp_path, capsys):
    assert fonts.legible(["老a", "b"]) == ["[8001]a", "b"]
    plots.attention_map([[1.0]], ["老"], ["老"], tmp_path / "map.png")  # and no second hint
    captured = capsys.readouterr()
    assert captured.err.count("apt-get install fonts-noto") == 1
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_a_font_of_the_system_is_used_for_what_ours_lack(bare, monkeypatch, capsys, tmp_path):
    import pylopdf_fonts_zh_cn

    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    found = [str(broken), str(pylopdf_fonts_zh_cn.serif_path())]
    monkeypatch.setattr(fonts.font_manager, "findSystemFonts", lambda: found)
    assert fonts.families("a老") == ["DejaVu Sans", "Noto Serif SC"]
    assert fonts.legible(["a老"]) == ["a老"]
    assert capsys.readouterr().err == ""


def rows() -> list[dict]:
    logged = [{"step": step, "train/loss": 5 / step} for step in range(1, 20)]
    return [*logged, {"step": 20, "eval/loss": 0.4, "eval/bleu": 31.0}]


def test_loss_curve(tmp_path):
    path = plots.loss_curve(rows(), tmp_path / "plots" / "loss.png", "老师 $")
    assert matplotlib.image.imread(path).shape[0] > 500


@pytest.mark.parametrize("keys", [["train/loss"], ["eval/loss"], ["eval/bleu"]])
def test_loss_curve_of_one_kind_of_row(tmp_path, keys):
    chosen = [{k: v for k, v in row.items() if k in ["step", *keys]} for row in rows()]
    assert plots.loss_curve(chosen, str(tmp_path / "loss.svg")) == pathlib.Path(
        tmp_path / "loss.svg"
    )


def test_series_is_in_order_and_finite():
    metrics = [
        {"step": 3, "a": 1.0},
        {"step": 1, "a": 2},
        {"step": 2, "a": float("nan")},
        {"step": 4, "a": None},
        {"step": 5},
        {"a": 1.0},
    ]
    assert plots._series(metrics, "a") == [(1, 2.0), (3, 1.0)]


@pytest.mark.parametrize("metrics", [[], [{"step": 1}], [{"step": 1, "train/loss": float("inf")}]])
def test_nothing_to_draw_is_refused(tmp_path, metrics):
    with pytest.raises(ValueError, match="log at least once"):
        plots.loss_curve(metrics, tmp_path / "loss.png")
    assert not list(tmp_path.iterdir())


def test_by_position_draws_each_way(tmp_path):
    random = np.random.default_rng(0)
    ways = {way: tuple(random.random((2, 5))) for way in ("gold", "own")}
    figure = plots.draw_positions(ways, np.array([5, 4, 3, 2, 1]), "title")
    for panel in (0, 1):
        for line, panels in zip(figure.axes[panel].lines, ways.values(), strict=True):
            np.testing.assert_array_equal(line.get_ydata(), panels[panel])
            np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4, 5])
    assert [bar.get_height() for bar in figure.axes[2].patches] == [5, 4, 3, 2, 1]
    path = tmp_path / "plots" / "exposure.png"
    assert plots.by_position(ways, np.arange(5), path).stat().st_size > 1000
