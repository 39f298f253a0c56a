//! What the command line looks like.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use nephos_wire::time::parse_iso8601;

/// Cloud telemetry and alarming in one program.
///
/// Without a command Nephos runs embedded: every service in this process, no server needed, on loopback.
/// Scaled out, each service is a process of its own on RabbitMQ and PostgreSQL.
#[derive(Debug, Parser)]
#[command(
    name = "nephos",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  nephos                                    measure this machine, serve http://127.0.0.1:8041
  nephos --config /etc/nephos/nephos.toml   the same with a configuration
  nephos check-config --config nephos.toml  report every error of every file, start nothing
  nephos collector --config nephos.toml     one service of a scaled-out deployment

Every setting can also be given as NEPHOS__SECTION__KEY in the environment."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Flags of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// Configuration file
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Folder for data; overrides data_dir
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Address of the API; overrides `api.listen` (port 0 takes a free one)
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
    /// Log level: error, warn, info, debug, trace, or target=level,…; overrides `log.level`
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    /// Write the real addresses of all listeners to this file, as JSON, once they are open
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) port_file: Option<PathBuf>,
    /// Override any setting
    #[arg(long = "set", global = true, value_name = "SECTION.KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Run every service in this process (the default)
    Run,
    /// Read meters of this host and send them to the bus
    PollingAgent,
    /// Run pipelines over samples from the bus
    NotificationAgent,
    /// Own the metric store and write samples into it
    Collector,
    /// Serve the Gnocchi and Aodh APIs
    Api,
    /// Evaluate alarms
    AlarmEvaluator,
    /// Deliver alarm notifications
    AlarmNotifier,
    /// Check every configuration file and report every error, with its place
    CheckConfig {
        /// Print the effective settings with their origin; secrets are masked
        #[arg(long)]
        print: bool,
        /// Check the settings of a scaled-out deployment instead of the embedded one
        #[arg(long)]
        distributed: bool,
    },
    /// Bring the databases to this version's schema
    Migrate,
    /// Print version and formats
    Version,
    /// Ask a running Nephos how it is
    Status {
        /// Its address
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8041")]
        url: String,
        /// User for HTTP basic authentication
        #[arg(long, default_value = "admin")]
        user: String,
        /// File with that user's password; - is standard input
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
    /// List the meters this version polls: name, unit, archive policy, resource type
    Meters {
        #[command(flatten)]
        output: Output,
    },
    /// Read meters once and print the samples; nothing is sent
    Poll {
        /// Needed: poll once
        #[arg(long, required = true)]
        once: bool,
        /// Only meters that match this shell pattern
        #[arg(long, value_name = "GLOB", default_value = "*")]
        meter: String,
        #[command(flatten)]
        output: Output,
    },
    /// Try pipelines
    #[command(subcommand)]
    Pipeline(PipelineCommand),
    /// Manage users who log in with passwords and tokens, for `auth_mode = "local"`
    #[command(subcommand)]
    User(UserCommand),
    /// Show and try the rules that say who may do what
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Look at the metric store, check it, merge it, take data out, put data in, measure it
    #[command(subcommand)]
    Store(StoreCommand),
    /// Copy store and databases to a new folder while Nephos runs
    Backup {
        /// Where to; a folder that is new or empty
        folder: PathBuf,
    },
    /// Put a backup in the place of the data directory
    Restore {
        /// A folder that `nephos backup` made
        folder: PathBuf,
        /// Replace data that are there already
        #[arg(long)]
        force: bool,
    },
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum PipelineCommand {
    /// Run the samples of a JSON file (or - for standard input) through pipeline.yaml and print what each sink publishes
    Test {
        /// List of samples, as `nephos poll --once --format json` prints them
        file: PathBuf,
        #[command(flatten)]
        output: Output,
    },
}

/// Where a password comes from. Never from the command line, which everybody on the machine can see.
#[derive(Clone, Debug, Args)]
pub(crate) struct Password {
    /// File whose first line is the password; - is standard input. Otherwise it is asked for
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Create a user
    Add {
        /// Name: what the user logs in with
        name: String,
        /// Role; may be given several times [default: member and reader]
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        /// Project; may be given several times, the first is the default [default: one of the user's name]
        #[arg(long = "project", value_name = "PROJECT")]
        projects: Vec<String>,
        /// Create it without a password: for programs that have tokens only
        #[arg(long, conflicts_with = "password_file")]
        no_password: bool,
        #[command(flatten)]
        password: Password,
        #[command(flatten)]
        output: UserOutput,
    },
    /// List users
    List {
        #[command(flatten)]
        output: UserOutput,
    },
    /// Show one user and its tokens
    Show {
        /// Name
        name: String,
        #[command(flatten)]
        output: UserOutput,
    },
    /// Change a password; tokens stay
    SetPassword {
        /// Name
        name: String,
        #[command(flatten)]
        password: Password,
    },
    /// Change the roles: those given take the place of all
    SetRoles {
        /// Name
        name: String,
        /// Roles
        #[arg(required = true)]
        roles: Vec<String>,
    },
    /// Change the projects: those given take the place of all, the first is the default
    SetProjects {
        /// Name
        name: String,
        /// Projects
        #[arg(required = true)]
        projects: Vec<String>,
    },
    /// Refuse a user, and the user's tokens, from now on
    Disable {
        /// Name
        name: String,
    },
    /// Accept a disabled user again
    Enable {
        /// Name
        name: String,
    },
    /// Delete a user and the user's tokens; what the user created stays
    Delete {
        /// Name
        name: String,
    },
    /// Manage tokens
    #[command(subcommand)]
    Token(TokenCommand),
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Create a token and print it: it cannot be shown again
    Create {
        /// User it stands for
        name: String,
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        label: Option<String>,
        /// The one project it is good for [default: every project of the user]
        #[arg(long, value_name = "PROJECT")]
        project: Option<String>,
        /// How long it is good for, such as 90d or 12h; "never" for ever
        #[arg(long, value_name = "TIME", default_value = "90d")]
        expires: String,
        #[command(flatten)]
        output: UserOutput,
    },
    /// List tokens, of one user or of all
    List {
        /// User
        name: Option<String>,
        #[command(flatten)]
        output: UserOutput,
    },
    /// End a token
    Revoke {
        /// Its id, as `nephos user token list` shows it
        id: uuid::Uuid,
    },
}

/// How users are printed.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct UserOutput {
    /// Print JSON for programs instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// List the rules in force: those of the policy file in the place of the shipped ones
    List {
        #[command(flatten)]
        output: UserOutput,
    },
    /// Tell which actions a caller may do; fails if an action is named that is refused
    Check {
        /// Only this action, such as "delete metric"
        #[arg(long, value_name = "NAME")]
        rule: Option<String>,
        /// Role of the caller; may be given several times
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        /// User id of the caller
        #[arg(long)]
        user: Option<String>,
        /// Project of the caller
        #[arg(long)]
        project: Option<String>,
        /// Creator of what is acted on, as USER:PROJECT
        #[arg(long, value_name = "CREATOR")]
        target_creator: Option<String>,
        /// Project of what is acted on
        #[arg(long, value_name = "PROJECT")]
        target_project: Option<String>,
        #[command(flatten)]
        output: UserOutput,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Show sizes: shards, segments, bytes a point, encodings. May run beside a running Nephos
    Inspect {
        #[command(flatten)]
        output: Output,
    },
    /// Check every checksum and that the parts agree; fails if there is a problem. May run beside a running Nephos
    Verify {
        #[command(flatten)]
        output: Output,
    },
    /// Merge all segments into one for each shard; Nephos must be stopped. It merges by itself while it runs
    Compact,
    /// Write metrics with their aggregates and raw measures as CSV, exactly. May run beside a running Nephos
    ///
    /// Names, resources and alarms are in the index, not in the metric store: `nephos backup` takes all of it.
    Export {
        /// Only this metric; may be given several times
        #[arg(long, value_name = "ID")]
        metric: Vec<nephos_model::MetricId>,
        /// Only buckets from this time on, ISO 8601
        #[arg(long, value_name = "TIME", value_parser = time)]
        start: Option<nephos_model::Timestamp>,
        /// Only buckets that begin before this time
        #[arg(long, value_name = "TIME", value_parser = time)]
        stop: Option<nephos_model::Timestamp>,
        /// Where to write, complete or not at all; - is standard output
        #[arg(long, value_name = "FILE", default_value = "-")]
        output: PathBuf,
    },
    /// Put the rows of an export into the metric store, all or nothing; Nephos must be stopped
    Import {
        /// What `nephos store export` wrote; - is standard input
        file: PathBuf,
        /// Replace metrics that hold data already, instead of refusing
        #[arg(long)]
        replace: bool,
    },
    /// Measure the engine under the load of a cloud and print the figures with their goals
    Bench {
        /// Where to make the store that is measured; removed afterwards [default: the folder for temporary files]
        #[arg(long, value_name = "FOLDER")]
        folder: Option<PathBuf>,
        /// Instances, 20 meters each
        #[arg(long, default_value_t = 1_000)]
        instances: u64,
        /// Readings of each instance, a minute apart
        #[arg(long, default_value_t = 1_440)]
        readings: usize,
        /// Seed of the load
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Runs of each query
        #[arg(long, default_value_t = 1_000)]
        runs: usize,
        /// A part to run, can be given again: live, coarse, bulk, seconds, scale [default: all but scale]
        #[arg(long = "part", value_name = "PART", value_parser = part)]
        parts: Vec<nephos_metric_store::bench::Part>,
        #[command(flatten)]
        output: Output,
    },
}

fn part(text: &str) -> Result<nephos_metric_store::bench::Part, &'static str> {
    let known = nephos_metric_store::bench::Part::ALL;
    let found = known.iter().find(|(name, _)| *name == text).map(|(_, part)| *part);
    found.ok_or("it is none of live, coarse, bulk, seconds and scale")
}

fn time(text: &str) -> Result<nephos_model::Timestamp, &'static str> {
    parse_iso8601(text).ok_or("it is no ISO 8601 time, such as 2026-11-21T08:00:00Z")
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Output {
    /// Table for people or JSON for programs
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table
    Table,
    /// JSON
    Json,
}
