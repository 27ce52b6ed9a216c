use super::*;
use crate::fake::illumos::Machine;

const CLIENT: &str = "svc:/network/dns/client:default";

#[test]
fn states_as_svcs_prints_them() {
    let parsed = |text| parse_state(text).map(|found| (found.state, found.next));
    assert_eq!(parsed("online         -\n"), Some((State::Online, None)));
    assert_eq!(parsed("offline online\n"), Some((State::Offline, Some(State::Online))));
    assert_eq!(parsed("maintenance    ?\n"), Some((State::Maintenance, None)));
    assert_eq!(parsed("online*\n"), None, "the form with one column is not what we ask for");
    assert_eq!(parsed("legacy_run -\n"), None);
    assert_eq!(parsed(""), None);
    assert!(!parse_state("online disabled").unwrap().is_online());
}

#[test]
fn values_as_svcprop_quotes_them() {
    assert_eq!(parse_values("online\n"), ["online"]);
    assert_eq!(parse_values("a\\ b \"\" c\\\"d\\\\\n"), ["a b", "", "c\"d\\"]);
    assert_eq!(parse_values("\n"), Vec::<String>::new());
}

#[test]
fn full_names_only_and_exact_arguments() {
    assert_eq!(state_command(CLIENT).to_string(), "/usr/bin/svcs -H -o state,nstate svc:/network/dns/client:default");
    assert_eq!(
        action_command(Verb::Restart, CLIENT).to_string(),
        "/usr/sbin/svcadm restart svc:/network/dns/client:default"
    );
    assert_eq!(
        property_command(CLIENT, "restarter/state").to_string(),
        "/usr/bin/svcprop -p restarter/state svc:/network/dns/client:default"
    );
}

#[test]
fn a_missing_instance_is_an_answer_and_a_failing_program_is_not() {
    let (_directory, host, _machine) = Machine::start();
    assert_eq!(state(&host, "svc:/no/such:thing").unwrap(), None);
    assert_eq!(property(&host, "svc:/no/such:thing", "a/b").unwrap(), None);
    assert_eq!(property(&host, CLIENT, "no/such").unwrap(), None);
    // Two services match the short name, and svcs must not be believed to have found none.
    assert!(state(&host, "sysconfig").is_err());
}

#[test]
fn bringing_online_waits_and_clears() {
    let (_directory, host, machine) = Machine::start();
    std::fs::write(host.root.locate("/etc/resolv.conf"), "").unwrap();
    machine.set_state(CLIENT, State::Maintenance);
    bring_online(&host, CLIENT, Duration::from_secs(10)).unwrap();
    assert!(state(&host, CLIENT).unwrap().unwrap().is_online());
    let asked = machine.commands().iter().filter(|command| command.contains("svcs")).count();
    assert!(asked > 2, "it takes more than one look until the service is online: {asked}");
}

#[test]
fn a_service_that_stays_offline_is_an_error_with_advice() {
    let (_directory, host, _machine) = Machine::start();
    // The client depends on /etc/resolv.conf, which this machine does not have.
    let error = bring_online(&host, CLIENT, Duration::from_millis(20)).unwrap_err();
    assert!(matches!(error, SmfError::NotOnline { .. }), "{error:?}");
    assert!(error.help().unwrap().contains("svcs -xv"));
    let error = bring_online(&host, "svc:/no/such:thing", Duration::ZERO).unwrap_err();
    assert!(matches!(error, SmfError::Missing { .. }), "{error:?}");
}
