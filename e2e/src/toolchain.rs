//! The client programs, installed at pinned versions into a cache directory outside the clone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A family of clients: one code base, one way to read the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    FranzGo,
    Confluent,
    KafkaPython,
    Kafkajs,
    Java,
    Kcat,
}

impl Family {
    /// Every family, the one the driver itself leans on first.
    pub const ALL: [Family; 6] = [
        Family::FranzGo,
        Family::Confluent,
        Family::KafkaPython,
        Family::Kafkajs,
        Family::Java,
        Family::Kcat,
    ];

    /// The name in reports and in topics.
    pub fn name(self) -> &'static str {
        match self {
            Family::FranzGo => "franz-go",
            Family::Confluent => "confluent",
            Family::KafkaPython => "kafka-python",
            Family::Kafkajs => "kafkajs",
            Family::Java => "java",
            Family::Kcat => "kcat",
        }
    }
}

/// The programs that were found or installed, and why the others were not.
pub struct Toolchain {
    found: BTreeMap<Family, Program>,
    missing: BTreeMap<Family, String>,
    /// Where Apache Kafka's jars are, if they are.
    pub jars: Option<PathBuf>,
    /// The directory with the JVMs' logging configuration.
    pub java_sources: PathBuf,
}

/// How a client program is started.
#[derive(Clone, Debug)]
pub struct Program {
    pub path: PathBuf,
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
}

impl Program {
    /// A command with the program's own arguments and then `args`.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command
            .args(&self.args)
            .args(args)
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Where downloads and builds are kept between runs.
pub fn cache_dir() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from);
    let home =
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/tmp".into())).join(".cache");
    base.unwrap_or_else(home).join("forebay")
}

impl Toolchain {
    /// Finds or installs each family's program, all at the same time.
    pub fn prepare(root: &Path, strict: bool) -> Result<Toolchain> {
        let cache = cache_dir().join("e2e");
        std::fs::create_dir_all(&cache)?;
        let sources = root.join("e2e/clients");
        let prepare = |family: Family| match family {
            Family::FranzGo => go(&cache, &sources),
            Family::Confluent | Family::KafkaPython => bail!("the two share one environment"),
            Family::Kafkajs => node(&cache, &sources),
            Family::Java => java(&cache, &sources),
            Family::Kcat => kcat(strict),
        };
        let mut results = std::thread::scope(|scope| {
            let python = scope.spawn(|| python(&cache, &sources));
            let others = [Family::FranzGo, Family::Kafkajs, Family::Java, Family::Kcat];
            let others = others.map(|family| (family, scope.spawn(move || prepare(family))));
            let mut results: Vec<(Family, Result<Program>)> = Vec::new();
            for (family, thread) in others {
                results.push((
                    family,
                    thread
                        .join()
                        .unwrap_or_else(|_| bail!("the installation panicked")),
                ));
            }
            match python
                .join()
                .unwrap_or_else(|_| bail!("the installation panicked"))
            {
                Ok(program) => {
                    results.push((Family::Confluent, Ok(with_arg(&program, "confluent"))));
                    results.push((Family::KafkaPython, Ok(with_arg(&program, "kafka-python"))));
                }
                Err(error) => {
                    results.push((Family::KafkaPython, Err(anyhow::anyhow!("{error:#}"))));
                    results.push((Family::Confluent, Err(error)));
                }
            }
            results
        });
        let mut toolchain = Toolchain {
            found: BTreeMap::new(),
            missing: BTreeMap::new(),
            jars: None,
            java_sources: sources.join("java"),
        };
        for (family, result) in results.drain(..) {
            match result {
                Ok(program) => drop(toolchain.found.insert(family, program)),
                Err(error) => drop(toolchain.missing.insert(family, format!("{error:#}"))),
            }
        }
        if toolchain.found.contains_key(&Family::Java) {
            toolchain.jars = Some(cache.join("java/jars"));
        }
        Ok(toolchain)
    }

    /// The families that are there.
    pub fn families(&self) -> impl Iterator<Item = (Family, &Program)> {
        self.found
            .iter()
            .map(|(family, program)| (*family, program))
    }

    /// The program of one family.
    pub fn program(&self, family: Family) -> Option<&Program> {
        self.found.get(&family)
    }

    /// The families that are not there, with the reason.
    pub fn missing(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.missing
            .iter()
            .map(|(family, reason)| (family.name(), reason.as_str()))
    }
}

fn with_arg(program: &Program, arg: &str) -> Program {
    let mut program = program.clone();
    program.args.push(arg.to_owned());
    program
}

/// Apache Kafka's jars, fetched by Maven once. The benchmark needs them too.
pub fn kafka_jars(root: &Path) -> Result<PathBuf> {
    let cache = cache_dir().join("e2e");
    java(&cache, &root.join("e2e/clients"))?;
    Ok(cache.join("java/jars"))
}

/// Apache Flink's jars and the program that runs a query in it: a class path for `java`.
pub fn flink(root: &Path) -> Result<String> {
    let sources = root.join("bench/nexmark/flink");
    let pom = sources.join("pom.xml");
    let jars = maven_jars(&cache_dir().join("flink"), &pom)?;
    let source = sources.join("FlinkBench.java");
    let classes = cache_dir().join("flink-classes");
    java_classes(&classes, &source, &jars)?;
    // How Flink finds the metric reporter that the program carries.
    let services = classes.join("META-INF/services");
    std::fs::create_dir_all(&services)?;
    let service = services.join("org.apache.flink.metrics.reporter.MetricReporterFactory");
    std::fs::write(service, "FlinkBench$ReporterFactory\n")?;
    Ok(format!("{}:{jars}/*", classes.display()))
}

/// The load generator, built. Go's own cache knows whether there is anything to do.
pub fn load_generator(root: &Path) -> Result<PathBuf> {
    on_path("go")?;
    let program = cache_dir().join("kload");
    std::fs::create_dir_all(cache_dir())?;
    run(Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(root.join("bench/kload")))?;
    Ok(program)
}

fn go(cache: &Path, sources: &Path) -> Result<Program> {
    on_path("go")?;
    let program = cache.join("go-client");
    // Go's own cache knows whether there is anything to build.
    run(Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(sources.join("go")))?;
    Ok(Program {
        path: program,
        args: Vec::new(),
        env: Vec::new(),
    })
}

fn python(cache: &Path, sources: &Path) -> Result<Program> {
    on_path("python3")?;
    let home = cache.join("python");
    virtual_environment(&home, &sources.join("python/requirements.txt"))?;
    let script = sources.join("python/client.py").display().to_string();
    Ok(Program {
        path: home.join("bin/python"),
        args: vec![script],
        env: Vec::new(),
    })
}

fn node(cache: &Path, sources: &Path) -> Result<Program> {
    let modules = node_modules(&cache.join("node"), &sources.join("node/package.json"))?;
    Ok(Program {
        path: "node".into(),
        args: vec![sources.join("node/client.js").display().to_string()],
        env: vec![
            ("NODE_PATH".to_owned(), modules),
            ("KAFKAJS_NO_PARTITIONER_WARNING".to_owned(), "1".to_owned()),
        ],
    })
}

fn java(cache: &Path, sources: &Path) -> Result<Program> {
    let jars = maven_jars(&cache.join("java"), &sources.join("java/pom.xml"))?;
    let classes = cache.join("java-client");
    java_classes(&classes, &sources.join("java/Client.java"), &jars)?;
    let logging = sources.join("java/log4j2.properties").display().to_string();
    let args = [
        "-Xmx512m",
        "-XX:+UseSerialGC",
        // Tests are short: the second compiler would cost more than it gives.
        "-XX:TieredStopAtLevel=1",
        &format!("-Dlog4j2.configurationFile={logging}"),
        "-Dlevel=WARN",
        "-cp",
        &format!("{}:{jars}/*", classes.display()),
        "Client",
    ];
    Ok(Program {
        path: "java".into(),
        args: args.map(str::to_owned).to_vec(),
        env: Vec::new(),
    })
}

/// Python's packages of a list, in an environment of their own.
pub fn virtual_environment(home: &Path, requirements: &Path) -> Result<()> {
    let pins = std::fs::read_to_string(requirements)?;
    once(home, &pins, |home| {
        run(Command::new("python3").args(["-m", "venv"]).arg(home))?;
        let pip = home.join("bin/pip");
        run(Command::new(pip)
            .args(["install", "--quiet", "--disable-pip-version-check", "-r"])
            .arg(requirements))
    })
}

/// The folder with npm's packages of a list.
pub fn node_modules(home: &Path, package: &Path) -> Result<String> {
    on_path("node")?;
    on_path("npm")?;
    let pins = std::fs::read_to_string(package)?;
    once(home, &pins, |home| {
        std::fs::write(home.join("package.json"), &pins)?;
        let mut npm = Command::new("npm");
        npm.args([
            "install",
            "--silent",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
        ])
        .current_dir(home);
        run(&mut npm)
    })?;
    Ok(home.join("node_modules").display().to_string())
}

/// The folder with the jars that a pom names.
pub fn maven_jars(home: &Path, pom: &Path) -> Result<String> {
    on_path("javac")?;
    on_path("mvn")?;
    let pins = std::fs::read_to_string(pom)?;
    once(home, &pins, |home| {
        let mut mvn = Command::new("mvn");
        mvn.args([
            "-q",
            "-B",
            "-Dstyle.color=never",
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
            "-f",
        ]);
        run(mvn
            .arg(pom)
            .arg(format!("-DoutputDirectory={}", home.join("jars").display())))
    })?;
    Ok(home.join("jars").display().to_string())
}

/// One source, compiled against jars.
pub fn java_classes(classes: &Path, source: &Path, jars: &str) -> Result<()> {
    let listed = std::fs::read_dir(jars)?;
    let mut names: Vec<_> = listed
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_, _>>()?;
    names.sort();
    let pins = format!("{}{}", names.join(" "), std::fs::read_to_string(source)?);
    once(classes, &pins, |classes| {
        run(Command::new("javac")
            .args(["-nowarn", "-cp", &format!("{jars}/*"), "-d"])
            .arg(classes)
            .arg(source))
    })
}

fn kcat(strict: bool) -> Result<Program> {
    if strict && on_path("kcat").is_err() && on_path("apt-get").is_ok() {
        let install = || {
            run(Command::new("apt-get").args([
                "install",
                "-y",
                "-qq",
                "--no-install-recommends",
                "kcat",
            ]))
        };
        if install().is_err() {
            run(Command::new("apt-get").args(["update", "-qq"]))?;
            install()?;
        }
    }
    let path = on_path("kcat").context("Debian and Ubuntu have it as a package")?;
    Ok(Program {
        path,
        args: Vec::new(),
        env: Vec::new(),
    })
}

/// Where a program stands on the search path.
pub fn on_path(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file());
    found.with_context(|| format!("{name} is not on the PATH"))
}

/// Fills `home` by `fill` unless it was filled for the same `pins` before.
fn once(home: &Path, pins: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let stamp = home.join(".complete");
    if std::fs::read_to_string(&stamp).is_ok_and(|found| found == pins) {
        return Ok(());
    }
    let _ = std::fs::remove_dir_all(home);
    std::fs::create_dir_all(home)?;
    fill(home)?;
    std::fs::write(stamp, pins)?;
    Ok(())
}

/// Runs an installer quietly; its output is part of the error when it fails.
pub fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {name}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    let end: Vec<&str> = said.lines().rev().take(8).collect();
    bail!(
        "{name}: {}: {}",
        output.status,
        end.into_iter().rev().collect::<Vec<_>>().join(" / ")
    )
}
