//! The models, one file each; [`MODELS`] lists them.
//!
//! A network's file holds its settings, which implement [`Architecture`], and its body; a `mod` line and one in the list
//! register it. A network that reads a source and writes a target implements [`EncoderDecoder`] in its place, one that models its inputs
//! [`Generator`]. A model that counts
//! instead of descending implements [`sequence::Learner`] itself and [`Counting`].

mod architecture;
mod autoencoder;
mod autoregressive;
mod bidirectional_lstm;
mod causal_convolution;
mod cholesky;
mod class_conditional;
mod counting;
mod decision_tree;
mod design;
mod eigen;
mod encoder_decoder;
mod energy;
mod examples;
mod floors;
mod gaussian_discriminant;
mod gaussian_mixture;
mod generative_adversarial_network;
mod generator;
mod gru;
mod hidden_markov;
mod k_means;
mod kernel_density;
mod least_squares;
mod linear_regression;
mod logistic_regression;
mod lstm;
mod lstm_encoder_decoder;
mod min_gru;
mod minimise;
mod multilayer_perceptron;
mod n_gram;
mod n_gram_bag;
mod naive_bayes;
mod pca;
mod polynomial_regression;
mod positions;
mod probabilistic_pca;
mod random_features;
mod random_forest;
mod recurrent;
mod rnn;
mod support_vector_machine;
mod transformer;
mod transformer_encoder_decoder;
mod variational_autoencoder;

#[cfg(test)]
mod classifier_fixtures;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod conformance_of_examples;
#[cfg(test)]
mod conformance_of_generators;
#[cfg(test)]
mod conformance_of_pairs;
#[cfg(test)]
mod gradients;
#[cfg(test)]
mod hidden_markov_fixtures;
#[cfg(test)]
mod structure_fixtures;
#[cfg(test)]
mod torch_fixtures;

pub use architecture::{Architecture, nearest};
pub use counting::Counting;
pub use encoder_decoder::{EncoderDecoder, PairBody, PairNetwork};
pub use energy::{energy_distance, energy_scores};
pub use floors::{Constant, ConstantConfig, Uniform, UniformConfig};
pub use generator::Generator;
pub use gru::Gru;
pub use hidden_markov::{HiddenMarkov, HiddenMarkovConfig, Observed};
pub use lstm::{ForgetBias, Lstm};
pub use n_gram::{Counts, NGram, NGramConfig, Smoothing};
pub use pca::{orthonormal, principal_angle, principal_directions};
pub use positions::AddedPositions;
pub use rnn::{Rnn, RnnActivation, RnnInitialisation};
pub use transformer::{AttentionKind, NormPlacement, Normalisation, PositionEncoding, Transformer};

use sequence::{InputKind, LearnError, Learner};
use training::TrainingConfig;

/// Every model, in the order in which tables show them.
pub static MODELS: &[ModelEntry] = &[
    ModelEntry::network::<Rnn>(),
    ModelEntry::network::<Lstm>(),
    ModelEntry::network::<bidirectional_lstm::BidirectionalLstm>(),
    ModelEntry::network::<Gru>(),
    ModelEntry::network::<min_gru::MinGru>(),
    ModelEntry::network::<Transformer>(),
    ModelEntry::network::<causal_convolution::CausalConvolution>(),
    ModelEntry::network::<multilayer_perceptron::MultilayerPerceptron>(),
    class_conditional::ENTRY,
    ModelEntry::encoder_decoder::<lstm_encoder_decoder::LstmEncoderDecoder>(),
    ModelEntry::encoder_decoder::<transformer_encoder_decoder::TransformerEncoderDecoder>(),
    ModelEntry::counting::<NGramConfig>(),
    ModelEntry::counting::<HiddenMarkovConfig>(),
    ModelEntry::counting::<naive_bayes::NaiveBayesConfig>(),
    ModelEntry::counting::<gaussian_discriminant::GaussianDiscriminantConfig>(),
    ModelEntry::counting::<gaussian_mixture::GaussianMixtureConfig>(),
    ModelEntry::counting::<k_means::KMeansConfig>(),
    ModelEntry::counting::<probabilistic_pca::ProbabilisticPcaConfig>(),
    ModelEntry::counting::<pca::PcaConfig>(),
    ModelEntry::counting::<kernel_density::KernelDensityConfig>(),
    ModelEntry::generator::<autoregressive::Autoregressive>(),
    ModelEntry::generator::<autoencoder::Autoencoder>(),
    ModelEntry::generator::<variational_autoencoder::VariationalAutoencoder>(),
    ModelEntry::generator::<generative_adversarial_network::GenerativeAdversarialNetwork>(),
    ModelEntry::counting::<logistic_regression::LogisticRegressionConfig>(),
    ModelEntry::counting::<support_vector_machine::SupportVectorMachineConfig>(),
    ModelEntry::counting::<decision_tree::DecisionTreeConfig>(),
    ModelEntry::counting::<random_forest::RandomForestConfig>(),
    ModelEntry::counting::<linear_regression::LinearRegressionConfig>(),
    ModelEntry::counting::<polynomial_regression::PolynomialRegressionConfig>(),
    ModelEntry::counting::<random_features::RandomFeaturesConfig>(),
    ModelEntry::counting::<ConstantConfig>(),
    ModelEntry::counting::<UniformConfig>(),
];

/// How large a network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Width of embedding and read-out, which all arms of an experiment share.
    pub width: usize,
    /// Parameters of the body; without a number, the model's own settings decide.
    pub body_parameters: Option<usize>,
}

/// Which inputs a model reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// One sequence.
    OneSequence,
    /// One sequence of symbols with one class, of which it learns how they come about together.
    LabelledSequence,
    /// A sequence of symbols, and another to condition on.
    SourceAndTarget,
    /// All examples of a finite training set at once; which kinds of them it can learn from it says when it sees the task.
    TrainingSet,
    /// Examples for which nothing is asked.
    Examples,
    /// Whatever there is, or nothing; what it cannot answer it says when it sees the task.
    Anything,
}

impl Reads {
    /// Why a task with such inputs cannot be learnt, if it cannot.
    #[must_use]
    pub fn misfit(self, inputs: InputKind) -> Option<&'static str> {
        match (self, matches!(inputs, InputKind::Conditioned { .. })) {
            (Self::TrainingSet | Self::Examples, true) => {
                Some("it has a source sequence, and this model reads examples of one part")
            }
            (Self::OneSequence | Self::LabelledSequence, true) => {
                Some("it has a source sequence, and this network reads one sequence")
            }
            (Self::SourceAndTarget, false) => {
                Some("it has no source sequence, and this network reads a source and a target")
            }
            _ => None,
        }
    }
}

/// What a model of the examples themselves can be asked for; see [`sequence::Generative`], [`sequence::Predictor::groups`] and
/// [`sequence::Predictor::directions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own")]
pub struct Offers {
    /// How likely an example is, or a lower bound of that.
    pub log_density: bool,
    /// New examples.
    pub samples: bool,
    /// What is missing of an example, from the rest.
    pub completes: bool,
    /// Which group an example belongs to, where a task has no classes.
    pub groups: bool,
    /// In which directions examples differ most.
    pub directions: bool,
}

impl Offers {
    /// Nothing: it is no such model.
    pub const NOTHING: Self =
        Self { log_density: false, samples: false, completes: false, groups: false, directions: false };
}

/// Makes an unfitted model of settings, of how networks are trained, and of a size.
pub type Build = fn(&serde_json::Value, &TrainingConfig, &Size) -> Result<Box<dyn Learner>, LearnError>;

/// One registered model.
#[derive(Clone, Copy, Debug)]
pub struct ModelEntry {
    /// Name in definitions and tables.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// Who described it.
    pub citation: &'static str,
    /// Raised whenever the same settings and seed would train to something else.
    pub version: u32,
    /// Whether each position looks at those before it, so that its cost grows with the length.
    pub attends: bool,
    /// Whether an output may depend on inputs after its own position, under the settings that differ from the defaults.
    pub reads_ahead: fn(&serde_json::Value) -> Result<bool, LearnError>,
    /// Which inputs it reads.
    pub reads: Reads,
    /// What it says of the examples themselves.
    pub offers: Offers,
    /// All settings with their default values.
    pub defaults: fn() -> serde_json::Value,
    /// The unfitted model, from those settings that differ from the defaults.
    pub build: Build,
}

impl ModelEntry {
    /// The entry of a network.
    #[must_use]
    pub const fn network<A: Architecture>() -> Self {
        Self {
            name: A::NAME,
            summary: A::SUMMARY,
            citation: A::CITATION,
            version: A::VERSION,
            attends: A::ATTENDS,
            reads_ahead: architecture::reads_ahead::<A>,
            reads: Reads::OneSequence,
            offers: Offers::NOTHING,
            defaults: architecture::defaults::<A>,
            build: architecture::build::<A>,
        }
    }

    /// The entry of a network that reads a source and writes a target.
    #[must_use]
    pub const fn encoder_decoder<E: EncoderDecoder>() -> Self {
        Self {
            name: E::NAME,
            summary: E::SUMMARY,
            citation: E::CITATION,
            version: E::VERSION,
            attends: E::ATTENDS,
            reads_ahead: |_| Ok(false),
            reads: Reads::SourceAndTarget,
            offers: Offers::NOTHING,
            defaults: architecture::defaults::<E>,
            build: encoder_decoder::build::<E>,
        }
    }

    /// The entry of a network that models its inputs.
    #[must_use]
    pub const fn generator<G: Generator>() -> Self {
        Self {
            name: G::NAME,
            summary: G::SUMMARY,
            citation: G::CITATION,
            version: G::VERSION,
            attends: false,
            reads_ahead: |_| Ok(false),
            reads: Reads::Examples,
            offers: G::OFFERS,
            defaults: architecture::defaults::<G>,
            build: generator::build::<G>,
        }
    }

    /// The entry of a model that counts.
    #[must_use]
    pub const fn counting<C: Counting>() -> Self {
        Self {
            name: C::NAME,
            summary: C::SUMMARY,
            citation: C::CITATION,
            version: C::VERSION,
            attends: false,
            reads_ahead: counting::reads_ahead::<C>,
            reads: C::READS,
            offers: C::OFFERS,
            defaults: architecture::defaults::<C>,
            build: counting::build::<C>,
        }
    }
}

/// The model registered under `name`.
///
/// # Errors
/// [`ModelError::Unknown`], which names the nearest registered name.
pub fn model(name: &str) -> Result<&'static ModelEntry, ModelError> {
    MODELS.iter().find(|entry| entry.name == name).ok_or_else(|| {
        let nearest = MODELS
            .iter()
            .map(|entry| entry.name)
            .max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
        ModelError::Unknown { name: name.to_owned(), nearest: nearest.unwrap_or_default() }
    })
}

/// Why a model was not found.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ModelError {
    /// No model has this name.
    #[error("unknown model `{name}`; did you mean `{nearest}`?")]
    Unknown {
        /// Requested name.
        name: String,
        /// The registered name most like it.
        nearest: &'static str,
    },
}
