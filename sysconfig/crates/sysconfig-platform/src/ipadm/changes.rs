//! Changes, and what the program says when it does not make them.

use super::answers::addresses;
use super::commands::{create_address, create_interface, delete_address};
use super::{Address, AddressSpec};
use crate::network::NetworkError;
use crate::{CommandError, Completed, Host, Invocation};
use std::time::Duration;

/// Runs a command of this module, `operation` saying what it is for. What it was to make may be there already.
///
/// # Errors
/// [`NetworkError::Command`]; early in the boot, when the daemons behind `ipadm` do not answer yet, only after
/// repeated tries.
pub fn run(host: &Host, command: &Invocation, operation: &str) -> Result<Completed, NetworkError> {
    const TRIES: u32 = 20;
    let failed = |source| NetworkError::Command { operation: operation.to_owned(), source };
    let mut tries = 0;
    loop {
        tries += 1;
        let completed = host.run_any(command).map_err(failed)?;
        if completed.code == 0 || !is_early(&completed) || tries == TRIES {
            return completed.success(command).map_err(failed);
        }
        std::thread::sleep(host.poll_interval);
    }
}

/// As [`run`], for a change of something that may have been made until the next boot only: then the change, too, is
/// made until then, because there is no other way.
///
/// # Errors
/// As [`run`].
pub fn run_as_lasting_as_possible(host: &Host, command: &Invocation, operation: &str) -> Result<(), NetworkError> {
    match run(host, command, operation) {
        Err(error) if says(&error, TEMPORARY) => {
            let mut temporarily = command.clone();
            temporarily.args.insert(1, "-t".to_owned());
            run(host, &temporarily, operation).map(drop)
        }
        result => result.map(drop),
    }
}

/// Whether it failed because a daemon behind `ipadm` does not answer yet.
fn is_early(completed: &Completed) -> bool {
    ["Could not communicate with ipmgmtd", "Could not communicate with dhcpagent", "Could not start dhcpagent"]
        .iter()
        .any(|text| completed.stderr.contains(text))
}

/// Makes an interface; one that is there is as good.
///
/// # Errors
/// [`NetworkError::Command`].
pub fn ensure_interface(host: &Host, name: &str) -> Result<(), NetworkError> {
    match run(host, &create_interface(name), &format!("create the interface {name}")) {
        Err(error) if says(&error, "Interface already exists") => Ok(()),
        result => result.map(drop),
    }
}

/// Makes an address object.
///
/// # Errors
/// [`NetworkError::Duplicate`], [`NetworkError::Taken`] and [`NetworkError::Command`]; also when an object of that name is there, because
/// it may be another one.
pub fn make_address(host: &Host, object: &str, spec: &AddressSpec, wait: Duration) -> Result<(), NetworkError> {
    let operation = format!("create the address object {object} for {spec}");
    let result = run(host, &create_address(object, spec, wait), &operation);
    let link = object.split('/').next().unwrap_or_default();
    match (result, spec) {
        (Err(error), AddressSpec::Static { address }) if says(&error, "Duplicate address detected") => {
            Err(NetworkError::Duplicate { address: address.addr().to_string(), link: link.to_owned() })
        }
        (Err(error), AddressSpec::Static { address }) if says(&error, IN_USE) => {
            let has_it = |row: &Address| row.address.is_some_and(|net| net.addr() == address.addr());
            let object = addresses(host).ok().and_then(|rows| rows.into_iter().find(has_it)).map(|row| row.object);
            Err(object.map_or(error, |object| NetworkError::Taken { address: address.addr().to_string(), object }))
        }
        // The daemon behind it is at work for this interface already, under whatever name: a list tells.
        (Err(error), AddressSpec::Addrconf { .. }) if says(&error, IN_PROGRESS) => {
            let is_it = |row: &Address| row.interface() == link && row.kind == "addrconf";
            if addresses(host).is_ok_and(|rows| rows.iter().any(is_it)) { Ok(()) } else { Err(error) }
        }
        (result, _) => result.map(drop),
    }
}

/// Deletes an address object. Programs have said in three ways that there is none, one of them without a word, so
/// the list decides.
///
/// # Errors
/// [`NetworkError::Command`] when it is there afterwards.
pub fn remove_address(host: &Host, object: &str, release: bool) -> Result<(), NetworkError> {
    match run(host, &delete_address(object, release), &format!("delete the address object {object}")) {
        Err(error) => match addresses(host)?.iter().any(|address| address.object == object) {
            true => Err(error),
            false => Ok(()),
        },
        Ok(_) => Ok(()),
    }
}

/// What is said of an address that this machine has in another place, in another zone too.
pub(crate) const IN_USE: &str = "Address already in use";

/// What is said where the kernel makes addresses from advertisements on an interface already.
pub(crate) const IN_PROGRESS: &str = "Addrconf already in progress";

/// What is said of a change that was to last, to something that was made with `-t`.
pub(crate) const TEMPORARY: &str = "Persistent operation on temporary object";

fn says(error: &NetworkError, text: &str) -> bool {
    matches!(error, NetworkError::Command { source: CommandError::Failed { tail, .. }, .. } if tail.contains(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine on which every program fails with the same words.
    #[derive(Debug)]
    struct Failing(&'static str);

    impl crate::Runner for Failing {
        fn run(&self, _: &Invocation) -> Result<Completed, CommandError> {
            Ok(Completed { code: 1, stdout: String::new(), stderr: format!("ipadm: {}\n", self.0) })
        }
    }

    /// A machine of illumos with nothing but a runner.
    fn host(runner: impl crate::Runner + 'static) -> Host {
        let root = crate::Root::new("/nonexistent");
        let name = std::sync::Arc::new(crate::hostname::KernelNodeName);
        Host::assembled(crate::System::Illumos, root, std::sync::Arc::new(runner), name)
    }

    /// A machine on which a daemon answers only after some calls.
    #[derive(Debug)]
    struct Waking(std::sync::atomic::AtomicU32, &'static str);

    impl crate::Runner for Waking {
        fn run(&self, _: &Invocation) -> Result<Completed, CommandError> {
            match self.0.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) {
                1 => Ok(Completed::default()),
                _ => Ok(Completed { code: 1, stderr: format!("ipadm: {}\n", self.1), ..Completed::default() }),
            }
        }
    }

    #[test]
    fn daemons_that_are_being_started_are_waited_for() {
        for said in [
            "Could not create address: Could not communicate with ipmgmtd",
            "Could not create address: Could not communicate with dhcpagent",
            "Could not create address: Could not start dhcpagent",
        ] {
            let host = host(Waking(3.into(), said));
            make_address(&host, "net0/x", &AddressSpec::Dhcp, Duration::ZERO)
                .unwrap_or_else(|error| panic!("{error:?}"));
        }
        // Any other failure stays one.
        let host = host(Waking(2.into(), "Could not create address: Permission denied"));
        assert!(make_address(&host, "net0/x", &AddressSpec::Dhcp, Duration::ZERO).is_err());
    }

    /// What the programs say (illumos-gate, `libipadm`), what becomes of it, and the advice.
    #[test]
    fn errors_in_their_variants() {
        let dhcp = AddressSpec::Dhcp;
        let fixed = AddressSpec::Static { address: "192.0.2.10/24".parse().unwrap() };
        let automatic = AddressSpec::Addrconf { take: None };
        let cases = [
            (&fixed, "Could not create address: Address object already exists", "cannot create", ""),
            (
                &fixed,
                "Could not create address: Address already in use",
                "cannot create",
                "another link, or another zone",
            ),
            (
                &fixed,
                "Could not create address: Duplicate address detected",
                "192.0.2.10 is in use by another machine",
                "another address",
            ),
            (&fixed, "Could not create address: Interface does not exist", "cannot create", ""),
            (&fixed, "Could not create address: Datalink does not exist", "cannot create", "dladm show-link"),
            (&fixed, "Could not create address: Could not open DLPI link", "cannot create", "dladm show-link"),
            (&fixed, "Could not create address: Permission denied", "cannot create", "root"),
            (
                &fixed,
                "Could not create address: Insufficient user authorizations",
                "cannot create",
                "solaris.network.interface.config",
            ),
            (
                &fixed,
                "Could not create address: Persistent operation on temporary object",
                "cannot create",
                "made with -t",
            ),
            (&fixed, "Could not create address: Operation not supported on disabled object", "cannot create", "enable"),
            (&automatic, "Could not create address: Addrconf already in progress", "cannot create", "unplumb"),
            (
                &automatic,
                "Could not create address: IPv6 autoconf daemon in.ndpd not running",
                "cannot create",
                "routing/ndp",
            ),
            (&dhcp, "Could not create address: Could not start dhcpagent", "cannot create", "dhcpagent"),
            (&dhcp, "Could not create address: Could not communicate with dhcpagent", "cannot create", "dhcpagent"),
            (
                &dhcp,
                "Could not create address: Could not communicate with ipmgmtd",
                "cannot create",
                "ip-interface-management",
            ),
            (&dhcp, "Could not create address: Interface already in use", "cannot create", ""),
            (&fixed, "Could not create address: Can't assign requested address", "cannot create", "link-local"),
            (&fixed, "Could not create address: Invalid address", "cannot create", ""),
        ];
        for (spec, said, error, help) in cases {
            match make_address(&host(Failing(said)), "net0/x", spec, Duration::ZERO) {
                Ok(()) => assert_eq!(error, "", "{said}"),
                Err(found) => {
                    assert!(!error.is_empty() && found.to_string().contains(error), "{said}: {found}");
                    let found = found.help().unwrap_or_default();
                    assert!(found.contains(help) && found.is_empty() == help.is_empty(), "{said}: {found:?}");
                }
            }
        }
    }
}
