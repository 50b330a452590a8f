//! The networks against PyTorch with the same parameters: outputs and all gradients, over 20 positions and two layers
//! with padding, by the fixtures that `fixtures/make.py` wrote.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use sequence::{InputKind, Interface, LossKind};
use serde::Deserialize;
use training::{Body, BodyContext, Initialiser};

use crate::{Architecture, Gru, Lstm, NormPlacement, PositionEncoding, Rnn, RnnInitialisation, Transformer};

const SHAPE: [usize; 3] = [3, 20, 6];
const HIDDEN: usize = 5;

#[derive(Deserialize)]
struct Fixture {
    lengths: Vec<usize>,
    inputs: Vec<f32>,
    probe: Vec<f32>,
    outputs: Vec<f32>,
    inputs_gradient: Vec<f32>,
    /// Values and gradient of each parameter, in the order of the module.
    parameters: Vec<[Vec<f32>; 2]>,
}

/// Replaces the parameters of a module by given values, in order.
struct Load<I>(I, Device);

impl<I: Iterator<Item = Vec<f32>>> ModuleMapper for Load<I> {
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let values = self.0.next().expect("the fixture has all parameters");
        Param::from_data(TensorData::new(values, parameter.shape()), &self.1)
    }
}

/// Collects the gradients of a module's parameters, in order.
struct Collect<'a>(&'a Gradients, Vec<Vec<f32>>);

impl ModuleVisitor for Collect<'_> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        let gradient = parameter.val().grad(self.0).expect("every parameter has a gradient");
        self.1.push(gradient.into_data().try_into_vec().unwrap());
    }
}

fn assert_close(what: &str, ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (index, (a, b)) in ours.iter().zip(theirs).enumerate() {
        // The tolerance to which all numerics here are held: 1e-5 + 1e-4 |b|.
        assert!((a - b).abs() <= 1e-5 + 1e-4 * b.abs(), "{what}[{index}]: {a}, PyTorch {b}");
    }
}

fn compare(architecture: &impl Architecture, fixture: &str) {
    let fixture: Fixture = serde_json::from_str(fixture).unwrap();
    let device = Device::flex().autodiff();
    let interface = Interface {
        inputs: InputKind::Features { width: SHAPE[2] },
        outputs: 1,
        loss: LossKind::MeanSquaredError,
        maximum_time: SHAPE[1],
    };
    let body = architecture.init(SHAPE[2], &interface, &mut Initialiser::new(0, &device));
    let values: Vec<Vec<f32>> = fixture.parameters.iter().map(|[value, _]| value.clone()).collect();
    let mut load = Load(values.into_iter(), device.clone());
    let body = body.map(&mut load);
    assert!(load.0.next().is_none(), "the fixture has more parameters than the body");

    let tensor = |values: &[f32]| Tensor::<3>::from_data(TensorData::new(values.to_vec(), SHAPE), &device);
    let inputs = tensor(&fixture.inputs).require_grad();
    let outputs = body.forward(inputs.clone(), &BodyContext::evaluation(&fixture.lengths));
    let real: Vec<f32> = outputs
        .clone()
        .into_data()
        .try_into_vec::<f32>()
        .unwrap()
        .into_iter()
        .enumerate()
        .map(|(index, value)| {
            let position = index / SHAPE[2];
            if position % SHAPE[1] < fixture.lengths[position / SHAPE[1]] { value } else { 0.0 }
        })
        .collect();
    assert_close("outputs", &real, &fixture.outputs);

    let gradients = (outputs * tensor(&fixture.probe)).sum().backward();
    let gradient: Vec<f32> = inputs.grad(&gradients).unwrap().into_data().try_into_vec().unwrap();
    assert_close("gradient of the inputs", &gradient, &fixture.inputs_gradient);
    let mut collect = Collect(&gradients, Vec::new());
    body.visit(&mut collect);
    for (index, (ours, [_, theirs])) in collect.1.iter().zip(&fixture.parameters).enumerate() {
        assert_close(&format!("gradient of parameter {index}"), ours, theirs);
    }
}

fn transformer(norm: NormPlacement, causal: bool) -> Transformer {
    Transformer {
        inner_width: SHAPE[2],
        feed_forward: 10,
        layers: 2,
        heads: 2,
        norm,
        position: PositionEncoding::None,
        causal,
        window: 0,
        ..Transformer::default()
    }
}

#[test]
fn simple_recurrent_networks() {
    let rnn = |initialisation| Rnn { hidden: HIDDEN, layers: 2, initialisation, ..Rnn::default() };
    compare(&rnn(RnnInitialisation::Uniform), include_str!("../fixtures/rnn-tanh.json"));
    compare(&rnn(RnnInitialisation::IdentityRelu), include_str!("../fixtures/rnn-relu.json"));
}

#[test]
fn lstm() {
    compare(&Lstm { hidden: HIDDEN, layers: 2, ..Lstm::default() }, include_str!("../fixtures/lstm.json"));
}

#[test]
fn gru() {
    compare(&Gru { hidden: HIDDEN, layers: 2, ..Gru::default() }, include_str!("../fixtures/gru.json"));
}

#[test]
fn encoder_with_padding() {
    compare(&transformer(NormPlacement::Pre, false), include_str!("../fixtures/encoder-pre.json"));
    compare(&transformer(NormPlacement::Post, false), include_str!("../fixtures/encoder-post.json"));
}

#[test]
fn causal_encoder_with_padding() {
    compare(&transformer(NormPlacement::Pre, true), include_str!("../fixtures/encoder-pre-causal.json"));
}

#[test]
#[should_panic(expected = "PyTorch")]
fn a_wrong_network_is_caught() {
    compare(&transformer(NormPlacement::Pre, false), include_str!("../fixtures/encoder-pre-causal.json"));
}
