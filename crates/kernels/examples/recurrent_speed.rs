//! How fast the recurrent operations are, for `bench/`: forward and backward pass of one layer over 32 sequences.
//!
//! Prints one line a repeat: kind, hidden, time, seconds, and the gigaflops of the three matrix products (forward, gradient of
//! what was read, gradient of the weights) that went into them. On one thread of a quiet machine:
//!
//! ```sh
//! cargo build --release --workspace --example recurrent_speed
//! target/release/examples/recurrent_speed
//! ```
#![expect(clippy::print_stdout, reason = "the table is the purpose")]

use burn::tensor::{Device, Distribution, Tensor};
use kernels::float_mode::FlushToZero;
use kernels::recurrent::{CellKind, RecurrentWeights, recurrent_sequence};
use std::time::Instant;

// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 32;
const INPUTS: usize = 16;
const REPEATS: usize = 15;

fn main() {
    let _flush = FlushToZero::new();
    println!("kind,hidden,time,seconds,gflops");
    for kind in [CellKind::Tanh, CellKind::Lstm, CellKind::Gru] {
        for hidden in [64, 128, 256] {
            for time in [100, 400] {
                let multiply_adds = 3 * BATCH * time * kind.gates() * hidden * (INPUTS + hidden);
                for seconds in pass_seconds(kind, hidden, time) {
                    let gflops = 2e-9 * multiply_adds as f64 / seconds;
                    println!("{kind:?},{hidden},{time},{seconds:.6},{gflops:.2}");
                }
            }
        }
    }
}

fn pass_seconds(kind: CellKind, hidden: usize, time: usize) -> impl Iterator<Item = f64> {
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
    let inputs = Tensor::<3>::random([BATCH, time, INPUTS], normal, &device).require_grad();
    let upstream = Tensor::<3>::random([BATCH, time, hidden], normal, &device);
    let pass = move || {
        let start = Instant::now();
        let states = recurrent_sequence(kind, inputs.clone(), &weights, None);
        let gradients = (states * upstream.clone()).sum().backward();
        let seconds = start.elapsed().as_secs_f64();
        drop(gradients);
        seconds
    };
    // The first two fetch memory.
    (0..REPEATS + 2).map(move |_| pass()).skip(2)
}
