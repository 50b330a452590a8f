//! The processor of this machine, and the name that its kind has in `bench/results/`.

use kernels::instruction_set::InstructionSet;

/// The processor as the system names it; elsewhere the architecture.
pub(crate) fn name() -> String {
    let described = || {
        let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    described().unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// How tables and `SEQLAB_ISA` spell an instruction set.
pub(crate) fn spelled(set: InstructionSet) -> &'static str {
    match set {
        InstructionSet::Portable => "portable",
        InstructionSet::Avx2 => "avx2",
        InstructionSet::Avx512 => "avx512",
    }
}

/// The folder of `bench/results/` that this processor's tables are in, whether it exists or not. A forced instruction set
/// changes nothing: `PyTorch` does not obey it.
pub(crate) fn folder() -> String {
    slug(&name(), spelled(InstructionSet::widest()))
}

/// Words in small letters, without marks of trade; `bench/processor.py` makes the folders by the same rule.
fn slug(processor: &str, instructions: &str) -> String {
    let words = format!("{processor} {instructions}").to_ascii_lowercase();
    let words = words.replace("(r)", "").replace("(tm)", "");
    let words = words.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::slug;

    #[test]
    fn folders_are_named_as_the_benchmark_names_them() {
        // The examples of `slug` in bench/processor.py.
        for (processor, instructions, expected) in [
            ("Intel(R) Xeon(R) Processor", "avx512", "intel-xeon-processor-avx512"),
            ("AMD EPYC", "avx2", "amd-epyc-avx2"),
            ("Intel(R) Core(TM) i7-8550U CPU @ 1.80GHz", "avx2", "intel-core-i7-8550u-cpu-1-80ghz-avx2"),
            ("aarch64", "portable", "aarch64-portable"),
        ] {
            assert_eq!(slug(processor, instructions), expected);
        }
    }

    #[test]
    fn committed_folders_have_the_names_of_their_processors() {
        let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/results");
        let folders = std::fs::read_dir(results).unwrap().map(|entry| entry.unwrap().path());
        let mut seen = 0;
        for folder in folders.filter(|path| path.join("machine.csv").exists()) {
            let machine = std::fs::read_to_string(folder.join("machine.csv")).unwrap();
            let value = |what: &str| {
                let line = machine.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(','));
                line.unwrap_or_default().trim_matches('"').to_owned()
            };
            assert_eq!(*folder.file_name().unwrap(), *slug(&value("processor"), &value("instruction set")));
            seen += 1;
        }
        assert!(seen > 0);
    }
}
