//! What a script asks: path, query and form, as OneGate takes them. Pure.
//!
//! The stock client asks for more by a form in the body of its GET; scripts write a query. Both count.
//! Promises that what is not known here is refused, so that a key which is mistyped does not ask for
//! something else.

use std::time::Duration;

use zonemesh_core::name::FederationName;

use super::refusal::ViewRefusal;

/// How long a question may wait for news.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(60);

/// What is to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ViewPage {
    /// `/`: where the others are.
    Index,
    /// `/vm`: the SuperLink as a VM.
    Vm,
    /// `/service`: the federation as a service.
    Service,
    /// The same, with the VMs as `/vm` shows them.
    ExtendedService,
}

/// A question.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ViewQuestion {
    pub(super) page: ViewPage,
    /// The federation; if there is one only it need not be named.
    pub(super) federation: Option<FederationName>,
    /// What the caller knows already, and how long it waits for something else.
    pub(super) revision: Option<String>,
    pub(super) wait: Duration,
}

impl ViewQuestion {
    /// Reads the path, the query behind it and the form in the body.
    pub(super) fn read(path: &str, query: &str, form: &[u8]) -> Result<Self, ViewRefusal> {
        let page = match path {
            "/" => ViewPage::Index,
            "/vm" => ViewPage::Vm,
            "/service" => ViewPage::Service,
            _ => return Err(ViewRefusal::NotSupported),
        };
        let mut question =
            Self { page, federation: None, revision: None, wait: Duration::default() };
        let mut seen = Vec::new();
        let query = form_urlencoded::parse(query.as_bytes());
        for (key, value) in query.chain(form_urlencoded::parse(form)) {
            if seen.contains(&key) {
                return Err(ViewRefusal::Parameter("a parameter that is given twice"));
            }
            question.take(&key, &value)?;
            seen.push(key);
        }
        Ok(question)
    }

    /// Refusals name nothing that the caller wrote: a reply may be kept where OneFlow looks.
    fn take(&mut self, key: &str, value: &str) -> Result<(), ViewRefusal> {
        match key {
            "federation" => {
                let name = value.parse().map_err(|_error| {
                    ViewRefusal::Parameter("federation: its name has 1 to 63 of a-z, 0-9 and '-'")
                })?;
                self.federation = Some(name);
            }
            "extended" => match (value, self.page) {
                ("true", ViewPage::Service) => self.page = ViewPage::ExtendedService,
                ("true" | "false", _) => {}
                _ => return Err(ViewRefusal::Parameter("extended: it is true or false")),
            },
            "revision" => self.revision = Some(value.to_owned()),
            "wait" => {
                let seconds = value.parse().ok().filter(|wait| *wait <= MAX_WAIT.as_secs());
                let Some(seconds) = seconds else {
                    return Err(ViewRefusal::Parameter("wait: whole seconds from 0 to 60"));
                };
                self.wait = Duration::from_secs(seconds);
            }
            _ => return Err(ViewRefusal::Parameter("a parameter that is not known")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str, query: &str, form: &str) -> Result<ViewQuestion, String> {
        let read = ViewQuestion::read(path, query, form.as_bytes());
        read.map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn a_query_and_the_form_of_the_stock_client_ask_the_same() {
        let query = read("/service", "extended=true&federation=health-eu", "").unwrap();
        let form = read("/service", "federation=health-eu", "extended=true").unwrap();
        assert_eq!(query, form);
        assert_eq!(query.page, ViewPage::ExtendedService);
        assert_eq!(query.federation.unwrap().as_str(), "health-eu");
        assert_eq!(read("/service", "extended=false", "").unwrap().page, ViewPage::Service);
        assert_eq!(read("/vm", "extended=true", "").unwrap().page, ViewPage::Vm);
        let waiting = read("/vm", "wait=60&revision=1f", "").unwrap();
        assert_eq!((waiting.wait, waiting.revision), (MAX_WAIT, Some("1f".to_owned())));
    }

    #[test]
    fn what_is_mistyped_is_refused_and_not_repeated() {
        for (query, words) in [
            ("federaton=health-eu", "not known"),
            ("federation=READY%3DYES", "federation: "),
            ("federation=a&federation=b", "twice"),
            ("wait=61", "from 0 to 60"),
            ("wait=-1", "from 0 to 60"),
            ("wait=READY%3DYES", "from 0 to 60"),
            ("extended=READY%3DYES", "true or false"),
            ("READY=YES", "not known"),
            ("%ff%00=%", "not known"),
        ] {
            let said = read("/vm", query, "").unwrap_err();
            assert!(said.contains(words) && !said.contains("READY"), "{query}: {said}");
        }
        for path in ["/vms/0", "/vm/", "/vrouter", "/vnet/0", "/service/role/superlink", "//vm"] {
            let said = read(path, "", "").unwrap_err();
            assert_eq!(said, "OneGate server doesn't support this feature", "{path}");
        }
    }
}
