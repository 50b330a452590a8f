//! The gradients of inputs and parameters that a [`sequence::Predictor`] reports, for every network here.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use kernels::float_mode::FlushToZero;
use sequence::{Batch, InputKind, Inputs, Interface, LossKind, Predictor, Random, Stream, Targets};
use training::{Body, BodyContext, Initialiser, Network, NetworkPredictor, SequenceNetwork};

use crate::bidirectional_lstm::BidirectionalLstm;
use crate::causal_convolution::CausalConvolution;
use crate::multilayer_perceptron::MultilayerPerceptron;
use crate::{
    Architecture, ForgetBias, Gru, Lstm, NormPlacement, PositionEncoding, Rnn, RnnActivation,
    RnnInitialisation, Transformer,
};

const WIDTH: usize = 12;
const SYMBOLS: u32 = 7;

fn interface(time: usize) -> Interface {
    Interface {
        inputs: InputKind::Tokens { vocabulary: SYMBOLS as usize },
        outputs: 3,
        loss: LossKind::CrossEntropy,
        maximum_time: time,
    }
}

/// Random symbols, the second sequence one shorter than the first.
fn batch(time: usize) -> Batch {
    let mut random = Random::new(1, Stream::Test);
    Batch {
        size: 2,
        time,
        inputs: Inputs::Tokens((0..2 * time).map(|_| random.below(SYMBOLS)).collect()),
        source: None,
        targets: Targets::Classes(vec![0; 2 * time]),
        loss_mask: vec![true; 2 * time],
        lengths: vec![time, time - 1],
    }
}

/// Norms `[2][time]` of the gradients by the inputs.
fn norms(architecture: &impl Architecture, time: usize) -> Vec<Vec<f64>> {
    let device = Device::flex().autodiff();
    let network =
        SequenceNetwork::new(&interface(time), WIDTH, &mut Initialiser::new(3, &device), |initialiser| {
            architecture.init(WIDTH, &interface(time), initialiser)
        });
    let predictor = NetworkPredictor::new(&network, interface(time));
    let norms = predictor.input_gradients(&batch(time), 1.0, 5).unwrap();
    norms.chunks(time).map(<[f64]>::to_vec).collect()
}

fn rotation(radius: f32) -> Rnn {
    Rnn {
        hidden: WIDTH,
        initialisation: RnnInitialisation::Rotation,
        radius,
        activation: Some(RnnActivation::Linear),
        ..Rnn::default()
    }
}

#[test]
fn a_linear_network_hands_back_the_radius_to_the_power_of_the_lag() {
    // Half, and a quarter more: exact in binary, so that only the rounding of the rotation is left.
    for radius in [0.5_f32, 1.25] {
        let time = 120;
        for (norms, last) in norms(&rotation(radius), time).iter().zip([time - 1, time - 2]) {
            for lag in 0..=last {
                let expected = f64::from(radius).powi(i32::try_from(lag).unwrap());
                let found = norms[last - lag] / norms[last];
                assert!((found / expected - 1.0).abs() < 1e-6, "lag {lag}: {found}, not {expected}");
            }
        }
    }
}

#[test]
fn padding_gets_no_gradient() {
    assert_eq!(norms(&rotation(0.5), 9)[1][8], 0.0);
    assert_eq!(norms(&BidirectionalLstm::default(), 9)[1][8], 0.0);
    assert_eq!(norms(&Transformer { inner_width: WIDTH, heads: 2, ..Transformer::default() }, 9)[1][8], 0.0);
}

#[test]
fn flushing_does_not_touch_them_and_single_precision_would_lose_them() {
    let time = 200;
    let expected = norms(&rotation(0.5), time);
    // By hand: 2^-199 is 1e-60.
    assert!(expected[0][0] > 1e-61 && expected[0][0] < 1e-59, "{}", expected[0][0]);
    let _guard = FlushToZero::new();
    assert_eq!(norms(&rotation(0.5), time), expected);
    // The twin: what training computes with is nothing after 150 steps.
    assert_eq!(in_single_precision(&rotation(0.5), time)[0], 0.0);
}

/// Norms of the first sequence's gradients by the fused operations, for a direction of ones.
fn in_single_precision(architecture: &impl Architecture, time: usize) -> Vec<f32> {
    let device = Device::flex().autodiff();
    let body = architecture.init(WIDTH, &interface(time), &mut Initialiser::new(3, &device));
    let mut random = Random::new(2, Stream::Test);
    let values: Vec<f32> = (0..time * WIDTH).map(|_| random.normal()).collect();
    let inputs = Tensor::<3>::from_data(TensorData::new(values, [1, time, WIDTH]), &device).require_grad();
    let states = body.forward(inputs.clone(), &BodyContext::evaluation(&[time]));
    let gradients = states.narrow(1, time - 1, 1).sum().backward();
    let gradient: Vec<f32> = inputs.grad(&gradients).unwrap().into_data().try_into_vec().unwrap();
    gradient.chunks(WIDTH).map(|row| row.iter().map(|value| value * value).sum::<f32>().sqrt()).collect()
}

#[test]
fn a_convolution_is_blind_past_its_receptive_field_and_not_before() {
    // So many channels that not all of a position's rectifiers are shut.
    let architecture = CausalConvolution { channels: 32, layers: 2, kernel: 3, dilation_base: 2 };
    // By hand: 1 + 2 (1 + 2) positions.
    let (time, field) = (40, 7);
    let norms = &norms(&architecture, time)[0];
    for (position, norm) in norms.iter().enumerate() {
        assert_eq!(*norm > 0.0, time - 1 - position < field, "{position}: {norm}");
    }
}

/// The norms must be those of the function that training descends, whatever computes it.
fn assert_agrees_with_finite_differences(architecture: &impl Architecture) {
    let time = 9;
    let device = Device::flex();
    let interface = interface(time);
    let network = SequenceNetwork::new(&interface, WIDTH, &mut Initialiser::new(3, &device), |initialiser| {
        architecture.init(WIDTH, &interface, initialiser)
    });
    let batch = batch(time);
    let found = NetworkPredictor::new(&network, interface).input_gradients(&batch, 1.0, 5).unwrap();
    // The same direction and embedded inputs.
    let mut random = Random::new(5, Stream::Probe);
    let direction: Vec<f32> = (0..WIDTH).map(|_| random.normal()).collect();
    let norm = direction.iter().map(|value| value * value).sum::<f32>().sqrt();
    let inputs: Vec<f32> = network.embed(&batch).into_data().try_into_vec().unwrap();
    let loss = |inputs: &[f32]| -> f32 {
        let tensor = Tensor::<3>::from_data(TensorData::new(inputs.to_vec(), [2, time, WIDTH]), &device);
        let states = network.body().forward(tensor, &BodyContext::evaluation(&batch.lengths));
        let states: Vec<f32> = states.into_data().try_into_vec().unwrap();
        let last = |sequence: usize| (sequence * time + batch.lengths[sequence] - 1) * WIDTH;
        (0..2)
            .map(|sequence| {
                states[last(sequence)..][..WIDTH]
                    .iter()
                    .zip(&direction)
                    .map(|(h, d)| h * d / norm)
                    .sum::<f32>()
            })
            .sum()
    };
    let step = 1.0 / 128.0;
    for (position, norm) in found.iter().enumerate() {
        let squares: f32 = (0..WIDTH)
            .map(|value| {
                let at = |moved: f32| {
                    let mut inputs = inputs.clone();
                    inputs[position * WIDTH + value] += moved;
                    loss(&inputs)
                };
                ((at(step) - at(-step)) / (2.0 * step)).powi(2)
            })
            .sum();
        let differences = f64::from(squares.sqrt());
        assert!(
            (norm - differences).abs() < 2e-3 + 1e-2 * differences,
            "{position}: {norm}, not {differences}"
        );
    }
}

/// The norms of parameters' gradients must be those that training descends with.
fn assert_agrees_with_training(architecture: &impl Architecture) {
    let device = Device::flex().autodiff();
    let interface = interface(9);
    let network = SequenceNetwork::new(&interface, WIDTH, &mut Initialiser::new(3, &device), |initialiser| {
        architecture.init(WIDTH, &interface, initialiser)
    });
    let batch = batch(9);
    let loss = network.loss(&batch, LossKind::CrossEntropy, &BodyContext::evaluation(&batch.lengths));
    let gradients = GradientsParams::from_grads(loss.backward(), &network);
    let mut expected = Norms(&gradients, Vec::new());
    network.visit(&mut expected);
    let found = NetworkPredictor::new(&network, interface).parameter_gradients(&batch).unwrap();
    assert_eq!(found.len(), expected.1.len());
    for ((path, norm), expected) in found.iter().zip(expected.1) {
        let expected = f64::from(expected);
        assert!((norm - expected).abs() < 1e-6 + 1e-4 * expected, "{path}: {norm}, not {expected}");
    }
}

/// Norms of the gradients that an update would read, in the order of the module.
struct Norms<'a>(&'a GradientsParams, Vec<f32>);

impl ModuleVisitor for Norms<'_> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        let gradient: Tensor<D> = self.0.get(parameter.id).expect("every parameter has a gradient");
        self.1.push(gradient.square().sum().sqrt().into_scalar());
    }
}

/// Where every symbol stands at one position, the gradient of the loss by a position's embedded input is that of its symbol's
/// row in the table, which training descends.
fn assert_loss_agrees_with_training(architecture: &impl Architecture) {
    let time = SYMBOLS as usize;
    let device = Device::flex().autodiff();
    let interface = interface(time);
    let network = SequenceNetwork::new(&interface, WIDTH, &mut Initialiser::new(3, &device), |initialiser| {
        architecture.init(WIDTH, &interface, initialiser)
    });
    let batch = Batch {
        size: 1,
        inputs: Inputs::Tokens((0..SYMBOLS).rev().collect()),
        targets: Targets::Classes(vec![1; time]),
        loss_mask: (0..time).map(|position| position % 3 == 0).collect(),
        lengths: vec![time],
        ..batch(time)
    };
    let loss = network.loss(&batch, LossKind::CrossEntropy, &BodyContext::evaluation(&batch.lengths));
    let gradients = GradientsParams::from_grads(loss.backward(), &network);
    let mut table = Rows(&gradients, Vec::new());
    network.visit(&mut table);
    let found = NetworkPredictor::new(&network, interface).loss_gradients(&batch).unwrap();
    for (norm, expected) in found.iter().zip(table.1.iter().rev()) {
        let expected = f64::from(*expected);
        assert!((norm - expected).abs() < 1e-6 + 1e-4 * expected, "{norm}, not {expected}");
    }
}

/// Norms of the rows of the first parameter, the table of embeddings.
struct Rows<'a>(&'a GradientsParams, Vec<f32>);

impl ModuleVisitor for Rows<'_> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        if self.1.is_empty() {
            let gradient: Tensor<D> = self.0.get(parameter.id).expect("every parameter has a gradient");
            let rows: Vec<f32> = gradient.into_data().try_into_vec().unwrap();
            let norm = |row: &[f32]| row.iter().map(|value| value * value).sum::<f32>().sqrt();
            self.1 = rows.chunks(WIDTH).map(norm).collect();
            assert_eq!(self.1.len(), SYMBOLS as usize);
        }
    }
}

/// All kinds of gradient.
fn assert_agrees(architecture: &impl Architecture) {
    assert_loss_agrees_with_training(architecture);
    assert_agrees_with_finite_differences(architecture);
    assert_agrees_with_training(architecture);
}

#[test]
fn they_are_the_gradients_of_every_network() {
    assert_agrees(&Rnn { hidden: 10, ..Rnn::default() });
    assert_agrees(&rotation(0.75));
    assert_agrees(&Lstm { hidden: 10, ..Lstm::default() });
    assert_agrees(&Lstm { forget_bias: ForgetBias::Constant(0.0), layers: 2, hidden: 6, ..Lstm::default() });
    assert_agrees(&BidirectionalLstm { hidden: 5, ..BidirectionalLstm::default() });
    assert_agrees(&Gru { hidden: 10, ..Gru::default() });
    assert_agrees(&CausalConvolution { channels: 8, layers: 2, ..CausalConvolution::default() });
    assert_agrees(&MultilayerPerceptron { hidden: 10, layers: 2 });
    let small = || Transformer { inner_width: WIDTH, heads: 2, feed_forward: 24, ..Transformer::default() };
    for position in [PositionEncoding::Sinusoidal, PositionEncoding::Learned, PositionEncoding::Alibi] {
        assert_agrees(&Transformer { position, ..small() });
    }
    for norm in [NormPlacement::Pre, NormPlacement::Post, NormPlacement::None] {
        for residual in [true, false] {
            assert_agrees(&Transformer { norm, residual, ..small() });
        }
    }
}
