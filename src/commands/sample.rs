//! `seqlab sample`: trains a model on a text, then prints what it writes.

use std::path::Path;

use data::CharacterLanguageModel;
use models::Size;
use sequence::{Budget, CurvePoint, Dataset, Density, Predictor, Random, Run, StopRule, Stream, Task};
use serde_json::json;
use training::TrainingConfig;

use crate::arguments::SampleArguments;
use crate::failure::{Ending, Failure, OrUsage};
use crate::{clock, environment, output, progress};

/// Width of embedding and read-out.
const WIDTH: usize = 32;
/// Sequences a batch.
const BATCH: usize = 16;
/// Trains on the whole training part of the text.
const ALL: usize = 0;
/// Validations during training.
const EVALUATIONS: u64 = 20;

/// Runs the command.
pub(crate) fn run(arguments: &SampleArguments) -> Result<Ending, Failure> {
    environment::force_instruction_set()?;
    let entry = models::model(&arguments.model).or_usage()?;
    // What counts reads ahead for states alone.
    if experiment::takes_rate(entry) && (entry.reads_ahead)(&json!({})).or_usage()? {
        return Err(Failure::usage(format!(
            "model `{}` reads ahead, and would be shown the character that it is asked for; choose one that does not",
            arguments.model
        )));
    }
    let settings = json!({ "corpus": corpus_name(&arguments.corpus), "characters": ALL });
    let task = CharacterLanguageModel::from_settings(&settings, &environment::corpora())?;
    let symbols = task.symbols().expect("a text has symbols");
    let prompt = tokens(&arguments.prompt, symbols)?;

    let config = TrainingConfig { rate: arguments.rate, ..TrainingConfig::default() };
    let size = Size { width: WIDTH, body_parameters: arguments.parameters };
    let learner = (entry.build)(&json!({}), &config, &size).or_usage()?;
    let data = Dataset::new(&task, arguments.seed, BATCH);
    let bar = progress::Updates::new(&arguments.model, arguments.updates);
    let mut observer = |point: &CurvePoint, _: &dyn Predictor| bar.reached(point.updates, point.validation);
    let fit = learner.fit(
        &data,
        &mut Run {
            budget: Budget {
                updates: arguments.updates,
                evaluate_every: (arguments.updates / EVALUATIONS).max(1),
            },
            stop: StopRule::Budget,
            seed: arguments.seed,
            stopwatch: &clock::Clock::start(),
            observer: Some(&mut observer),
        },
    );
    drop(bar);
    let fit = fit.or_usage()?;
    output::note(format_args!(
        "{} with {} parameters, {:.3} nats a character on validation",
        arguments.model,
        fit.predictor.total_parameters(),
        fit.best_validation
    ));
    let density = fit.predictor.density().ok_or_else(|| {
        Failure::usage(format!("model `{}` gives no probability of a next character", arguments.model))
    })?;
    output::piece(&arguments.prompt);
    let mut random = Random::new(arguments.seed, Stream::Sampling);
    write(density, symbols, prompt, arguments, &mut random);
    output::line("");
    Ok(Ending::Success)
}

/// A registered name stays; a file of one's own becomes `file:PATH`.
pub(crate) fn corpus_name(given: &str) -> String {
    let is_registered = data::CORPORA.iter().any(|entry| entry.name == given);
    let is_file = !is_registered && !given.starts_with("file:") && Path::new(given).is_file();
    if is_file { format!("file:{given}") } else { given.to_owned() }
}

fn tokens(prompt: &str, symbols: &[char]) -> Result<Vec<u32>, Failure> {
    let token = |character: char| {
        let place = symbols.binary_search(&character).ok().and_then(|place| u32::try_from(place).ok());
        place.ok_or_else(|| {
            Failure::usage(format!("the prompt holds {character:?}, which the corpus does not; leave it out"))
        })
    };
    prompt.chars().map(token).collect()
}

/// Draws one character after another, each from the model's probabilities after those before it.
fn write(
    density: &dyn Density,
    symbols: &[char],
    mut context: Vec<u32>,
    arguments: &SampleArguments,
    random: &mut Random,
) {
    for _ in 0..arguments.characters {
        let drawn = draw(&density.next_log_probabilities(&context), arguments.temperature, random);
        output::piece(symbols[drawn]);
        context.push(u32::try_from(drawn).expect("a symbol fits 32 bits"));
    }
}

/// A symbol drawn from softmax(log p / temperature); the likeliest one at temperature 0.
fn draw(log_probabilities: &[f32], temperature: f32, random: &mut Random) -> usize {
    let likeliest = (0..log_probabilities.len())
        .max_by(|&a, &b| log_probabilities[a].total_cmp(&log_probabilities[b]))
        .expect("there is at least one symbol");
    if temperature == 0.0 {
        return likeliest;
    }
    let largest = log_probabilities[likeliest];
    let weights: Vec<f32> =
        log_probabilities.iter().map(|log| ((log - largest) / temperature).exp()).collect();
    let mut left = random.unit() * weights.iter().sum::<f32>();
    for (symbol, weight) in weights.iter().enumerate() {
        left -= weight;
        if left < 0.0 {
            return symbol;
        }
    }
    // Rounding may leave a rest.
    likeliest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_drawn_as_often_as_they_are_likely() {
        let log_probabilities = [0.5_f32.ln(), 0.3_f32.ln(), 0.2_f32.ln()];
        let mut random = Random::new(1, Stream::Sampling);
        let frequency = |temperature, random: &mut Random| {
            let draws = (0..20_000).filter(|_| draw(&log_probabilities, temperature, random) == 0);
            draws.count() as f64 / 20_000.0
        };
        // Standard error 0.0035. At temperature 1/2 the weights are squares: 0.25 / (0.25 + 0.09 + 0.04).
        assert!((frequency(1.0, &mut random) - 0.5).abs() < 0.018);
        assert!((frequency(0.5, &mut random) - 0.25 / 0.38).abs() < 0.018);
        assert_eq!(frequency(0.0, &mut random), 1.0);
    }

    #[test]
    fn a_prompt_outside_the_vocabulary_is_refused() {
        assert_eq!(tokens("ba", &['a', 'b']).unwrap(), [1, 0]);
        assert!(tokens("bé", &['a', 'b']).unwrap_err().to_string().contains("'é'"));
    }
}
