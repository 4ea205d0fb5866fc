//! Rows: what takes effect only in a later release, or never.
//!
//! A value is checked all the same, so that what is wrong is refused before anybody relies on it; and
//! whatever is given is named at each start, with what does it today.

use super::KEY;
use crate::input::InputType;
use crate::key::{Appliance, ContextKey, KeyEffect, KeyReaders};
use crate::values::{self, ValueError};
use crate::variables::Variables;

const STRATEGIES: &[&str] = &["FedAvg", "FedProx", "FedAdam", "Krum", "Bulyan", "FedTrimmedAvg"];
const FRAMEWORKS: &[&str] = &["pytorch", "tensorflow", "sklearn"];

/// The rows, in the order of the documents.
pub const LATER: [ContextKey; 16] = [
    ContextKey {
        name: "ONEAPP_FL_SSL_CERTFILE",
        readers: KeyReaders::SuperLink,
        meaning: "the SuperLink's certificate, of one's own CA: PEM in base64",
        expected: "base64 of a PEM certificate",
        ..pem(values::certificate)
    },
    ContextKey {
        name: "ONEAPP_FL_SSL_KEYFILE",
        readers: KeyReaders::SuperLink,
        meaning: "its key: PEM in base64; secret",
        expected: "base64 of a PEM private key",
        example: "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t....",
        secret: true,
        ..pem(values::private_key)
    },
    ContextKey {
        name: "ONEAPP_FL_CERT_EXTRA_SAN",
        readers: KeyReaders::SuperLink,
        meaning: "more names and addresses in the SuperLink's certificate",
        expected: "DNS:NAME and IP:ADDRESS with commas between",
        example: "DNS:fl.example.org,IP:203.0.113.5",
        ..later(values::sans, "`extra_sans` of `[[federation]]` at the gateway")
    },
    ContextKey {
        name: "ONEAPP_FL_DATA_DIR",
        readers: KeyReaders::SuperNode,
        meaning: "folder of this VM's data, for the ClientApps",
        expected: "an absolute path",
        example: "/data",
        ..later(values::absolute, "a drop-in of the unit gives Flower a folder")
    },
    ContextKey {
        name: "ONEAPP_FL_METRICS_ENABLED",
        readers: KeyReaders::SuperLink,
        meaning: "whether metrics are served",
        ..switch("`zonemesh status` and `status.json`")
    },
    ContextKey {
        name: "ONEAPP_FL_GPU_ENABLED",
        readers: KeyReaders::SuperNode,
        meaning: "whether ClientApps may use the VM's GPUs",
        ..switch("a drop-in of the unit gives Flower its devices")
    },
    ContextKey {
        name: "ONEAPP_FL_GPU_MEMORY_FRACTION",
        readers: KeyReaders::SuperNode,
        input: InputType::NumberFloat,
        meaning: "how much of a GPU's memory ClientApps may use",
        expected: "a number above 0 and up to 1",
        example: "0.8",
        ..later(values::fraction, "the app itself")
    },
    ContextKey {
        name: "ONEAPP_FL_DCGM_ENABLED",
        readers: KeyReaders::SuperNode,
        meaning: "whether metrics of the GPUs are served",
        ..switch("nothing")
    },
    ContextKey {
        name: "ONEAPP_FL_NUM_ROUNDS",
        meaning: "rounds of a run",
        example: "3",
        ..of_a_run(values::count)
    },
    ContextKey {
        name: "ONEAPP_FL_STRATEGY",
        input: InputType::List(STRATEGIES),
        meaning: "how what was trained is put together",
        expected: "the name of a strategy: FedAvg, FedProx, FedAdam, Krum, Bulyan or FedTrimmedAvg",
        example: "FedAvg",
        ..of_a_run(strategy)
    },
    ContextKey {
        name: "ONEAPP_FL_MIN_FIT_CLIENTS",
        meaning: "SuperNodes that a round of training takes",
        ..of_a_run(values::count)
    },
    ContextKey {
        name: "ONEAPP_FL_MIN_EVALUATE_CLIENTS",
        meaning: "SuperNodes that a round of evaluation takes",
        ..of_a_run(values::count)
    },
    ContextKey {
        name: "ONEAPP_FL_MIN_AVAILABLE_CLIENTS",
        meaning: "SuperNodes that must be there for a run to begin",
        ..of_a_run(values::count)
    },
    ContextKey {
        name: "ONEAPP_FL_CHECKPOINT_ENABLED",
        readers: KeyReaders::SuperLink,
        meaning: "whether a run keeps the model between rounds",
        ..switch("the app itself")
    },
    ContextKey {
        name: "ONEAPP_ML_FRAMEWORK",
        old_name: Some("ONEAPP_FL_FRAMEWORK"),
        readers: KeyReaders::SuperNode,
        input: InputType::List(FRAMEWORKS),
        meaning: "which framework the ClientApps find",
        expected: "pytorch, tensorflow or sklearn",
        example: "pytorch",
        ..later(framework, "what is installed beside Flower in `/opt/flower`")
    },
    ContextKey {
        name: "ONEAPP_WG_PRIVATE_KEY",
        readers: KeyReaders::Gateway,
        input: InputType::Password,
        meaning: "never read",
        expected: "nothing",
        example: "",
        secret: true,
        since: "0.3.0",
        effect: KeyEffect::Refused(
            "a private key never leaves the VM that made it: the gateway makes its own at its first start, and `zonemesh status` shows the public one",
        ),
        ..KEY
    },
];

const fn later(check: fn(&str) -> Result<(), ValueError>, today: &'static str) -> ContextKey {
    ContextKey { since: "0.3.0", effect: KeyEffect::Later { check, today }, ..KEY }
}

const fn pem(check: fn(&str) -> Result<(), ValueError>) -> ContextKey {
    ContextKey {
        input: InputType::Text64,
        example: "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t....",
        ..later(check, "the gateway's CA of the federation certifies the SuperLink")
    }
}

const fn switch(today: &'static str) -> ContextKey {
    ContextKey {
        input: InputType::Boolean,
        expected: "YES or NO",
        example: "YES",
        ..later(values::is_truth, today)
    }
}

const fn of_a_run(check: fn(&str) -> Result<(), ValueError>) -> ContextKey {
    ContextKey {
        readers: KeyReaders::SuperLink,
        input: InputType::Number,
        expected: "a whole number from 1 on",
        example: "2",
        ..later(check, "the app's own configuration, and `flwr run --run-config`")
    }
}

fn strategy(text: &str) -> Result<(), ValueError> {
    values::listed(text, STRATEGIES).map(drop)
}

fn framework(text: &str) -> Result<(), ValueError> {
    values::listed(text, FRAMEWORKS).map(drop)
}

/// Checks what this appliance is given without effect; what is wrong with it is recorded.
pub fn check(variables: &mut Variables<'_>, appliance: Appliance) {
    for key in super::of(appliance) {
        match key.effect {
            KeyEffect::Full => {}
            KeyEffect::Later { check, .. } => {
                let _unused = variables.optional(*key, check);
            }
            KeyEffect::Refused(reason) => {
                if variables.raw(*key).is_some() {
                    variables.wrong(*key, reason);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Environment;

    /// What is said of these values in a VM of this appliance.
    fn said(values: &[(&str, &str)], appliance: Appliance) -> String {
        let environment = Environment(|name: &str| {
            Some(values.iter().find(|(known, _)| *known == name)?.1.to_owned())
        });
        let mut variables = Variables::new(vec![&environment]);
        check(&mut variables, appliance);
        variables.finish(Some(())).err().map(|errors| errors.to_string()).unwrap_or_default()
    }

    /// The example of a row; of a text in PEM, one that is whole.
    fn example(key: &ContextKey) -> String {
        use base64::Engine as _;
        let kind = if key.secret { "PRIVATE KEY" } else { "CERTIFICATE" };
        match key.input {
            InputType::Text64 => base64::engine::general_purpose::STANDARD
                .encode(format!("-----BEGIN {kind}-----\nAA==\n-----END {kind}-----\n")),
            _ => key.example.to_owned(),
        }
    }

    #[test]
    fn each_key_takes_its_example_and_refuses_what_is_none_with_its_name() {
        for key in LATER {
            let appliance = Appliance::ALL.into_iter().find(|one| key.readers.has(*one)).unwrap();
            for name in key.names() {
                let wrong = said(&[(name, "hunter2 !")], appliance);
                assert!(wrong.starts_with(&format!("{name} (environment): ")), "{wrong}");
                assert_eq!(wrong.contains("hunter2"), !key.secret, "{wrong}");
                if matches!(key.effect, KeyEffect::Later { .. }) {
                    assert_eq!(said(&[(name, &example(&key))], appliance), "", "{name}");
                }
            }
        }
    }

    #[test]
    fn values_at_the_edge_are_judged() {
        use Appliance::{SuperLink, SuperNode};
        for (name, appliance, good, bad) in [
            ("ONEAPP_FL_NUM_ROUNDS", SuperLink, "1", "0"),
            ("ONEAPP_FL_NUM_ROUNDS", SuperLink, "4294967295", "-1"),
            ("ONEAPP_FL_MIN_FIT_CLIENTS", SuperLink, "2", "2.5"),
            ("ONEAPP_FL_GPU_MEMORY_FRACTION", SuperNode, "1", "1.1"),
            ("ONEAPP_FL_GPU_MEMORY_FRACTION", SuperNode, "0.01", "NaN"),
            ("ONEAPP_FL_STRATEGY", SuperLink, "Krum", "fedavg"),
            ("ONEAPP_FL_METRICS_ENABLED", SuperLink, "no", "maybe"),
            ("ONEAPP_FL_CERT_EXTRA_SAN", SuperLink, "IP:2001:db8::5, DNS:a.b", "a.b"),
            ("ONEAPP_FL_DATA_DIR", SuperNode, "/data", "data"),
        ] {
            assert_eq!(said(&[(name, good)], appliance), "", "{name}={good}");
            assert!(said(&[(name, bad)], appliance).starts_with(name), "{name}={bad}");
        }
        let certificate = example(&LATER[0]);
        let as_key = said(&[("ONEAPP_FL_SSL_KEYFILE", &certificate)], SuperLink);
        assert!(as_key.contains("no base64 of a PEM text with a PRIVATE KEY"), "{as_key}");
    }

    #[test]
    fn a_private_key_of_wireguard_is_refused_with_the_reason_and_not_shown() {
        let key = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
        let said = said(&[("ONEAPP_WG_PRIVATE_KEY", key)], Appliance::Gateway);
        assert!(said.contains("a private key never leaves the VM that made it"), "{said}");
        assert!(!said.contains(key), "{said}");
    }
}
