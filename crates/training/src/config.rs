//! How a network is trained, apart from data, budget and seed.

use serde::{Deserialize, Serialize};

use crate::{TrainingError, device};

/// Settings of the gradient loop. The batch size comes with the dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TrainingConfig {
    /// Learning rate after warm-up.
    pub rate: f64,
    /// Updates over which the rate rises linearly to `rate`, after which it is constant.
    pub warmup_updates: u64,
    /// Largest Euclidean norm of the gradient of all parameters together.
    pub clip_norm: f64,
    /// Strength of weight decay; 0 turns it off.
    pub weight_decay: f64,
    /// The update rule.
    pub optimiser: Optimiser,
    /// Probability with which a hidden value is dropped during training.
    pub dropout: f32,
    /// Name of the device, as [`device`](fn@crate::device) knows it.
    pub device: String,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            rate: 1e-3,
            warmup_updates: 100,
            clip_norm: 1.0,
            weight_decay: 0.0,
            optimiser: Optimiser::AdamW,
            dropout: 0.0,
            device: "flex".to_owned(),
        }
    }
}

impl TrainingConfig {
    /// Checks that every setting has a value that makes sense.
    ///
    /// # Errors
    /// Names the first setting that does not.
    pub fn check(&self) -> Result<(), TrainingError> {
        let wrong = |key, value: String, reason| Err(TrainingError::Setting { key, value, reason });
        if !(self.rate > 0.0 && self.rate.is_finite()) {
            return wrong("rate", self.rate.to_string(), "a learning rate is positive, such as 0.001");
        }
        if self.clip_norm.is_nan() || self.clip_norm <= 0.0 {
            return wrong("clip-norm", self.clip_norm.to_string(), "a norm is positive; 1e30 clips nothing");
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return wrong("weight-decay", self.weight_decay.to_string(), "it is 0 or more");
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return wrong("dropout", self.dropout.to_string(), "a probability below 1");
        }
        device(&self.device).map(|_| ())
    }

    /// The rate of an update, counted from 0: a linear rise over the warm-up, then constant.
    #[must_use]
    pub fn rate_at(&self, update: u64) -> f64 {
        if update >= self.warmup_updates {
            return self.rate;
        }
        self.rate * (update + 1) as f64 / self.warmup_updates as f64
    }
}

/// The update rule; Adam's with beta 0.9 and 0.999 and epsilon 1e-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Optimiser {
    /// Adam, in which weight decay is an L2 penalty added to the gradient (Kingma and Ba 2015).
    Adam,
    /// Adam with weight decay apart from the gradient (Loshchilov and Hutter 2019); without weight decay, Adam.
    AdamW,
    /// Plain gradient descent: the gradient times the rate. Weight decay is an L2 penalty.
    Sgd,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_linearly_over_the_warm_up_and_stays() {
        let config = TrainingConfig { rate: 0.1, warmup_updates: 4, ..TrainingConfig::default() };
        let rates: Vec<f64> = (0..6).map(|update| config.rate_at(update)).collect();
        // By hand: 0.1 times 1/4, 2/4, 3/4, 4/4, then constant.
        let expected = [0.025, 0.05, 0.075, 0.1, 0.1, 0.1];
        assert!(
            rates.iter().zip(expected).all(|(rate, by_hand)| (rate - by_hand).abs() < 1e-12),
            "{rates:?}"
        );
        let none = TrainingConfig { warmup_updates: 0, ..config };
        assert_eq!(none.rate_at(0), 0.1);
    }

    #[test]
    fn a_setting_that_makes_no_sense_is_named() {
        assert!(TrainingConfig::default().check().is_ok());
        for (json, key) in [
            (r#"{"rate": 0.0}"#, "rate"),
            (r#"{"clip-norm": -1.0}"#, "clip-norm"),
            (r#"{"weight-decay": -0.1}"#, "weight-decay"),
            (r#"{"dropout": 1.0}"#, "dropout"),
            (r#"{"device": "abacus"}"#, "abacus"),
        ] {
            let config: TrainingConfig = serde_json::from_str(json).unwrap();
            let message = config.check().unwrap_err().to_string();
            assert!(message.contains(key), "{message}");
        }
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        let message = serde_json::from_str::<TrainingConfig>(r#"{"rates": 1.0}"#).unwrap_err().to_string();
        assert!(message.contains("unknown field `rates`"), "{message}");
    }
}
