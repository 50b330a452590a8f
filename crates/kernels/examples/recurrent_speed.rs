//! Milliseconds of one forward and backward pass of a recurrent layer, one line a setting.
//!
//! Run on a quiet machine, beside the same in PyTorch:
//!
//! ```sh
//! cargo run --release -p kernels --example recurrent_speed
//! python crates/kernels/examples/recurrent_speed.py
//! ```
#![expect(clippy::print_stdout, reason = "the table is the purpose")]

use burn::tensor::{Device, Distribution, Tensor};
use kernels::float_mode::FlushToZero;
use kernels::instruction_set::instruction_set;
use kernels::recurrent::{CellKind, RecurrentWeights, recurrent_sequence};
use std::time::Instant;

// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const INPUTS: usize = 32;
const REPEATS: usize = 30;

fn main() {
    let _flush = FlushToZero::new();
    println!("kind,batch,hidden,time,{:?} ms", instruction_set());
    for kind in [CellKind::Tanh, CellKind::Relu, CellKind::Lstm, CellKind::Gru] {
        for batch in [16, 32] {
            for hidden in [40, 64, 128] {
                for time in [64, 100, 200] {
                    let fastest = milliseconds(kind, batch, hidden, time);
                    println!("{kind:?},{batch},{hidden},{time},{fastest:.3}");
                }
            }
        }
    }
}

/// The fastest of the repeats, which other work on the machine disturbed least.
fn milliseconds(kind: CellKind, batch: usize, hidden: usize, time: usize) -> f64 {
    let device = Device::flex().autodiff();
    let bound = 1.0 / (hidden as f64).sqrt();
    let columns = kind.gates() * hidden;
    let uniform = Distribution::Uniform(-bound, bound);
    let weights = RecurrentWeights {
        input: Tensor::random([INPUTS, columns], uniform, &device).require_grad(),
        recurrent: Tensor::random([hidden, columns], uniform, &device).require_grad(),
        bias: Tensor::random([columns], uniform, &device).require_grad(),
        recurrent_bias: (kind == CellKind::Gru)
            .then(|| Tensor::random([hidden], uniform, &device).require_grad()),
    };
    let normal = Distribution::Normal(0.0, 1.0);
    let inputs = Tensor::<3>::random([batch, time, INPUTS], normal, &device).require_grad();
    let upstream = Tensor::<3>::random([batch, time, hidden], normal, &device);
    let step = || {
        let start = Instant::now();
        let states = recurrent_sequence(kind, inputs.clone(), &weights, None);
        let gradients = (states * upstream.clone()).sum().backward();
        let seconds = start.elapsed().as_secs_f64();
        drop(gradients);
        seconds
    };
    (0..REPEATS).map(|_| step()).fold(f64::INFINITY, f64::min) * 1e3
}
