from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, rankdata

from qwarden.learn import Preprocessor
from qwarden.learn.preprocess import LIMIT


def test_curve_is_the_standardised_normal_score_of_the_ranks():
    """Against SciPy's ranks: ties take the middle rank."""
    values = np.array([3.0, 1.0, 1.0, 7.0, 5.0, 5.0, 5.0, 2.0])
    scores = norm.ppf((rankdata(values) - 0.5) / len(values))
    expected = (scores - scores.mean()) / scores.std()
    np.testing.assert_allclose(Preprocessor().fit_transform(values[:, None])[:, 0], expected, atol=1e-12)


def test_many_values_are_interpolated_close_to_their_ranks():
    values = np.random.default_rng(0).lognormal(sigma=2.0, size=5000)
    scores = norm.ppf((rankdata(values) - 0.5) / len(values))
    found = Preprocessor().fit_transform(values[:, None])[:, 0]
    middle = np.abs(scores) < 2.5
    assert np.abs(found - scores)[middle].max() < 0.1


def test_most_values_tied_leaves_knots_for_the_rest():
    rng = np.random.default_rng(0)
    values = np.concatenate([np.zeros(9000), rng.uniform(1, 2, size=1000)])
    rest = Preprocessor().fit_transform(values[:, None])[9000:, 0]
    order = np.argsort(values[9000:])
    assert len(np.unique(rest.round(6))) > 900
    assert (np.diff(rest[order]) > 0).all()


def test_beyond_the_training_range_the_slope_goes_on_to_a_limit():
    p = Preprocessor().fit(np.linspace(0, 1, 101)[:, None])
    inside, outside, far = p.transform([[1.0], [1.01], [1e9]])[:, 0]
    assert inside < outside < far == LIMIT


def test_unknown_is_neutral_beside_an_indicator():
    X = np.array([[1.0], [2.0], [np.nan], [4.0]])
    p = Preprocessor().fit(X)
    assert p.feature_names_out_ == ["x0", "x0 is unknown"]
    out = p.transform(X)
    assert out[2].tolist() == [0.0, 1.0]
    assert out[:, 1].tolist() == [0.0, 0.0, 1.0, 0.0]
    assert abs(out[[0, 1, 3], 0].mean()) < 1e-12


def test_unknown_where_training_had_none_is_neutral():
    p = Preprocessor().fit([[1.0], [2.0]])
    assert p.feature_names_out_ == ["x0"]
    assert p.transform([[np.nan]]).tolist() == [[0.0]]


def test_nullable_columns_have_an_indicator_from_the_start():
    p = Preprocessor(nullable=["rate"]).fit([[1.0], [2.0]], names=["rate"])
    assert p.feature_names_out_ == ["rate", "rate is unknown"]
    assert p.transform([[np.nan]]).tolist() == [[0.0, 1.0]]


def test_constant_columns_are_dropped_but_their_absence_is_kept():
    p = Preprocessor().fit([[1.0, 7.0, 7.0, np.nan], [2.0, 7.0, np.nan, np.nan]])
    assert p.feature_names_out_ == ["x0", "x2 is unknown"]
    assert p.source_.tolist() == [0, 2]
    with pytest.raises(ValueError, match="every column is constant"):
        Preprocessor().fit([[1.0], [1.0]])


def test_codes_become_one_hot_columns_and_log_odds():
    codes = np.repeat([6.0, 17.0, 1.0], [50, 40, 10])
    y = np.concatenate([np.repeat([0, 1], [45, 5]), np.repeat([0, 1], [20, 20]), np.ones(10)])
    p = Preprocessor(categorical=[0]).fit(codes[:, None], y, names=["proto"])
    assert p.feature_names_out_ == ["proto = 1", "proto = 6", "proto = 17", "proto log-odds"]
    out = p.transform(codes[:, None])
    np.testing.assert_allclose(out.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(out.std(axis=0), 1.0, atol=1e-12)
    # prior weight 20 at the overall rate 0.35
    rate = 0.35
    smoothed = np.array([(5 + 20 * rate) / 70, (20 + 20 * rate) / 60, (10 + 20 * rate) / 30])
    odds = np.log(smoothed / (1 - smoothed))
    mean = np.average(odds, weights=[50, 40, 10])
    spread = np.sqrt(np.average((odds - mean) ** 2, weights=[50, 40, 10]))
    np.testing.assert_allclose(out[[0, 50, 90], 3], (odds - mean) / spread, atol=1e-12)
    # a code never seen is no known code, at the overall rate
    unseen = p.transform([[99.0]])[0]
    assert (unseen[:3] == out[:, :3].min(axis=0)).all()
    np.testing.assert_allclose(unseen[3], (np.log(rate / (1 - rate)) - mean) / spread)


def test_rare_codes_share_no_column():
    codes = np.arange(100.0) % 7
    p = Preprocessor(categorical=[0], max_levels=3).fit(codes[:, None])
    assert p.feature_names_out_ == ["x0 = 0", "x0 = 1", "x0 = 2"]


def test_unknown_code_is_neutral():
    X = np.array([[1.0], [2.0], [1.0], [2.0], [np.nan]])
    p = Preprocessor(categorical=[0]).fit(X)
    assert p.transform([[np.nan]]).tolist() == [[0.0, 0.0, 1.0]]


def test_heavy_tail_is_read_on_a_logarithmic_scale():
    """Between two knots decades apart, the middle is the geometric one."""
    values = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1e6])
    p = Preprocessor().fit(values[:, None])
    low, middle, high = p.transform([[1.0], [np.expm1((np.log1p(1.0) + np.log1p(1e6)) / 2)], [1e6]])[:, 0]
    np.testing.assert_allclose(middle, (low + high) / 2)


def test_names():
    p = Preprocessor().fit([[1.0, 2.0], [2.0, 3.0]], names=["a", "b"])
    assert p.get_feature_names_out().tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="2 columns"):
        Preprocessor().fit([[1.0, 2.0], [2.0, 3.0]], names=["a"])
    with pytest.raises(ValueError, match="no column is called 'c'"):
        Preprocessor(nullable=["c"]).fit([[1.0], [2.0]], names=["a"])
    with pytest.raises(ValueError, match="no column 5"):
        Preprocessor(nullable=[5]).fit([[1.0], [2.0]])


def test_cross_fitted_odds_are_counted_on_other_rows():
    """Recounted in plain Python, part by part."""
    rng = np.random.default_rng(3)
    codes, y = rng.integers(0, 30, 200).astype(float), rng.integers(0, 2, 200)
    codes[:5] = np.nan
    p = Preprocessor(categorical=[0], cross_fit=4, seed=9, prior_weight=3.0)
    found = p.fit_transform(codes[:, None], y)[:, p.get_feature_names_out().tolist().index("x0 log-odds")]
    known = ~np.isnan(codes)
    part = np.random.default_rng([9, 7]).permutation(200) % 4

    def odds(at: int, counted: np.ndarray) -> float:
        counted = counted & known
        same, rate = counted & (codes == codes[at]), y[counted].mean()
        share = (y[same].sum() + 3.0 * rate) / (same.sum() + 3.0)
        return float(np.log(share / (1 - share)))

    all_rows = np.ones(200, bool)
    usual = np.array([odds(at, all_rows) for at in np.flatnonzero(known)])
    for at in np.flatnonzero(known):
        expected = (odds(at, part != part[at]) - usual.mean()) / usual.std()
        assert found[at] == pytest.approx(np.clip(expected, -LIMIT, LIMIT), abs=1e-12)
    assert (found[~known] == 0).all()


def test_cross_fitted_odds_do_not_tell_the_labels_they_were_counted_on():
    """Codes that occur once know nothing; counted on themselves they seem to know everything."""
    codes, y = np.arange(400.0)[:, None], np.random.default_rng(0).integers(0, 2, 400)
    own = Preprocessor(categorical=[0], max_levels=0).fit_transform(codes, y)[:, 0]
    others = Preprocessor(categorical=[0], max_levels=0, cross_fit=5).fit_transform(codes, y)[:, 0]
    assert np.corrcoef(own, y)[0, 1] > 0.99
    assert abs(np.corrcoef(others, y)[0, 1]) < 0.2


def test_cross_fitting_changes_no_other_column_and_not_what_is_learnt():
    rng = np.random.default_rng(1)
    X, y = np.column_stack([rng.normal(size=99), rng.integers(0, 4, 99)]), rng.integers(0, 2, 99)
    plain, crossed = Preprocessor(categorical=[1]), Preprocessor(categorical=[1], cross_fit=3)
    one, two = plain.fit_transform(X, y), crossed.fit_transform(X, y)
    np.testing.assert_array_equal(plain.transform(X), crossed.transform(X))
    changed = np.flatnonzero((one != two).any(axis=0))
    assert [plain.feature_names_out_[at] for at in changed] == ["x1 log-odds"]


def test_cross_fitting_survives_parts_without_one_of_the_classes():
    X, y = np.array([[0.0], [0.0], [1.0], [1.0], [1.0]]), np.array([1, 0, 0, 0, 0])
    assert np.isfinite(Preprocessor(categorical=[0], cross_fit=5).fit_transform(X, y)).all()
