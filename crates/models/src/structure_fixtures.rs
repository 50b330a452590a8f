//! K-means, principal components and their probabilistic kind against scikit-learn, and angles against scipy, by the fixtures that
//! `fixtures/structure.py` wrote, to 1e-8.

use sequence::{Random, Stream};
use serde_json::Value;

use crate::examples::Rows;
use crate::k_means::Grouping;
use crate::pca::{Principal, principal_angle};
use crate::probabilistic_pca::{ProbabilisticPcaConfig, Way};

fn fixture() -> Value {
    serde_json::from_str(include_str!("../fixtures/structure.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

fn whole(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

fn assert_near(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (one, other) in found.iter().zip(expected) {
        assert!((one - other).abs() < 1e-8 * other.abs().max(1.0), "{what}: {one} {other}");
    }
}

#[test]
fn k_means_ends_where_scikit_learn_does() {
    let fixture = fixture();
    let cases = fixture["k_means"].as_array().unwrap();
    assert_eq!(cases.len(), 3);
    for case in cases {
        let rows = Rows { width: whole(&case["width"]), values: numbers(&case["rows"]) };
        let start: Vec<Vec<f64>> = serde_json::from_value(case["start"].clone()).unwrap();
        let found = Grouping::from(&rows, start);
        let expected: Vec<Vec<f64>> = serde_json::from_value(case["centres"].clone()).unwrap();
        assert_near("centres", &found.centres.concat(), &expected.concat());
        assert_near("inertia", &[found.inertia], &[case["inertia"].as_f64().unwrap()]);
        assert_near("index", &[found.index(&rows)], &[case["index"].as_f64().unwrap()]);
        let labels: Vec<usize> = serde_json::from_value(case["labels"].clone()).unwrap();
        assert_eq!(found.assigned(&rows), labels);
    }
}

#[test]
fn principal_components_and_densities_are_those_of_scikit_learn() {
    let fixture = fixture();
    let cases = fixture["principal"].as_array().unwrap();
    assert_eq!(cases.len(), 3);
    for case in cases {
        let (width, components) = (whole(&case["width"]), whole(&case["components"]));
        let rows = |key: &str| Rows { width, values: numbers(&case[key]) };
        let principal = Principal::of(&rows("rows"), components);
        assert_near("variances", &principal.variances, &numbers(&case["variances"]));
        // A direction and its opposite are the same.
        for (found, expected) in
            principal.directions.chunks(width).zip(numbers(&case["directions"]).chunks(width))
        {
            let sign = found.iter().zip(expected).map(|(a, b)| a * b).sum::<f64>().signum();
            let found: Vec<f64> = found.iter().map(|entry| sign * entry).collect();
            assert_near("direction", &found, expected);
        }
        let test = rows("test");
        let left_out: Vec<f64> = test.iter().map(|row| principal.left_out(row)).collect();
        assert_near("left out", &left_out, &numbers(&case["left_out"]));
        let angle = principal_angle(&principal.directions, &numbers(&case["other"]), width);
        assert_near("angle", &[angle], &[case["angle"].as_f64().unwrap()]);

        let config = ProbabilisticPcaConfig { components, fit: Way::ClosedForm };
        let factors = config.fit(&rows("rows"), &mut Random::new(1, Stream::Initialisation));
        let densities: Vec<f64> = test.iter().map(|row| factors.log_density(row)).collect();
        assert_near("log-density", &densities, &numbers(&case["log_densities"]));
    }
}
