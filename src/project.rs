//! The files of a project: definitions, the register of claims, committed results.

use std::path::{Path, PathBuf};

use experiment::Workspace;
use record::claims::Register;
use record::definition::{Definition, unknown};
use record::pytorch::PYTORCH_STEPS;
use record::verdict::Verdicts;

use crate::clock::Clock;
use crate::environment::{self, EXPERIMENTS};
use crate::failure::{Failure, OrUsage};
use crate::processor;

/// A project by its root folder.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    /// The folder that holds `experiments/` and `results/`.
    pub(crate) root: PathBuf,
}

impl Project {
    /// The project around the current folder.
    pub(crate) fn find() -> Result<Self, Failure> {
        Ok(Self { root: environment::root()? })
    }

    /// Names of all experiments, sorted.
    pub(crate) fn names(&self) -> Result<Vec<String>, Failure> {
        let folder = self.root.join(EXPERIMENTS);
        let entries = std::fs::read_dir(&folder).map_err(|error| {
            anyhow::Error::new(error).context(format!("{} cannot be read", folder.display()))
        })?;
        let mut names = Vec::new();
        for entry in entries {
            let path = entry.map_err(anyhow::Error::from)?.path();
            let is_definition = path.extension().is_some_and(|extension| extension == "toml");
            if let Some(stem) = path.file_stem().filter(|stem| is_definition && *stem != "claims") {
                names.push(stem.to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// The experiment of that name, or the definition at that path.
    pub(crate) fn definition(&self, experiment: &str) -> Result<Definition, Failure> {
        let is_path = Path::new(experiment).extension().is_some_and(|extension| extension == "toml");
        let names = self.names()?;
        if is_path {
            let definition = Definition::read(Path::new(experiment)).or_usage()?;
            let own = self.root.join(EXPERIMENTS).join(format!("{}.toml", definition.name));
            let same = |path: &Path| std::fs::canonicalize(path).ok();
            // Results have the name of their definition.
            if names.contains(&definition.name) && same(&own) != same(&definition.path) {
                return Err(Failure::usage(format!(
                    "{experiment}: {} has the same name, and its results would be overwritten; give the file another name",
                    own.display()
                )));
            }
            return Ok(definition);
        }
        if !names.iter().any(|name| name == experiment) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            return Err(Failure::usage(unknown("experiment", experiment, &names)));
        }
        Definition::read(&self.root.join(EXPERIMENTS).join(format!("{experiment}.toml"))).or_usage()
    }

    /// The experiment of that name, or all of them.
    pub(crate) fn definitions(&self, experiment: Option<&str>) -> Result<Vec<Definition>, Failure> {
        match experiment {
            Some(name) => Ok(vec![self.definition(name)?]),
            None => self.names()?.iter().map(|name| self.definition(name)).collect(),
        }
    }

    /// All claims, judged or not.
    pub(crate) fn register(&self) -> Result<Register, Failure> {
        Register::read(&self.root.join(EXPERIMENTS).join("claims.toml")).or_usage()
    }

    /// The folder of all committed results.
    pub(crate) fn results(&self) -> PathBuf {
        self.root.join("results")
    }

    /// A path as seen from the root, which is shorter to read.
    pub(crate) fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }

    /// The committed step times of PyTorch on this kind of processor; the file may be missing.
    pub(crate) fn bench(&self) -> PathBuf {
        self.root.join("bench/results").join(processor::folder()).join(PYTORCH_STEPS)
    }

    /// Everything that experiments need of this project and this machine.
    pub(crate) fn workspace(&self) -> Result<Workspace, Failure> {
        environment::force_instruction_set()?;
        Ok(Workspace {
            definitions: self.root.join(EXPERIMENTS),
            results: self.results(),
            // git ignores it.
            state: self.root.join(".seqlab"),
            pytorch_steps: self.bench(),
            corpora: environment::corpora(),
            claims: self.register()?,
            code: environment::code(&self.root),
            host: environment::host(),
            machine: Box::new(Clock::start()),
        })
    }

    /// Committed results, in order of the experiments' names.
    pub(crate) fn committed(&self) -> Result<Vec<Committed>, Failure> {
        let mut all = Vec::new();
        for name in self.names()? {
            let folder = self.results().join(&name);
            if folder.join("verdicts.json").exists() {
                let verdicts = Verdicts::read(&folder.join("verdicts.json"))?;
                all.push(Committed { name, verdicts });
            }
        }
        Ok(all)
    }
}

/// What the tables of an experiment have said.
#[derive(Clone, Debug)]
pub(crate) struct Committed {
    /// Name of the experiment.
    pub(crate) name: String,
    /// Its verdicts.
    pub(crate) verdicts: Verdicts,
}
