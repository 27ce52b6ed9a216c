//! Routes of somebody else's on simulated Linux machines, which go with addresses of ours and come back when that is undone.

use crate::linux::machine;
use crate::support::{Fixture, config};
use plugin_testing::stopped;
use sysconfig_platform::Route;
use sysconfig_platform::fake::linux::Machine;
use sysconfig_platform::stack::{LinuxRoute, OtherRoute};
use sysconfig_plugin_interfaces::InterfacesPlugin;
use sysconfig_protocol::Step;

const NOTHING: &str = "[network]\ninterface = []\n";

/// A link with two networks of ours, somebody else's routes over gateways in both, and one over a gateway that another lost route
/// leads to and comes after it in the kernel's list.
fn with_routes() -> Fixture<Machine> {
    let mut fixture = machine();
    fixture.converge(
        "[[network.interface]]\nmatch = { name = \"eth0\" }\naddresses = [\"10.0.0.5/24\", \"192.0.2.10/24\"]\n",
    );
    fixture.machine.network(|network| {
        for (to, via, source) in [
            ("0.0.0.0/0", "172.31.1.1", None),
            ("10.5.0.0/16", "192.0.2.1", None),
            ("10.6.0.0/16", "10.0.0.1", None),
            ("10.7.0.0/16", "192.0.2.1", Some("10.0.0.5")),
        ] {
            let route = Route { to: to.parse().unwrap(), via: via.parse().unwrap() };
            let source = source.map(|source| source.parse().unwrap());
            network.routes.push(LinuxRoute { route, index: 2, metric: 0, advertised: false, source });
        }
        let to = "172.31.1.1/32".parse().unwrap();
        network.other_routes.push(OtherRoute { to, index: Some(2), metric: 0, kind: String::new(), source: None });
    });
    fixture
}

fn routes(fixture: &Fixture<Machine>) -> Vec<String> {
    fixture.machine.network(|network| {
        let gateways = network.routes.iter().map(|known| format!("{} {:?}", known.route, known.source));
        let mut routes: Vec<_> =
            gateways.chain(network.other_routes.iter().map(|known| known.to.to_string())).collect();
        routes.sort();
        routes
    })
}

fn take_off(fixture: &mut Fixture<Machine>) -> Vec<Step> {
    fixture.harness.configure(config(NOTHING));
    let steps = fixture.harness.converge().unwrap().steps.into_iter().map(|(step, _)| step).collect();
    assert_eq!(routes(fixture), [""; 0]);
    steps
}

/// What is undone first brings an address back to which not all gateways belong.
#[test]
fn routes_over_several_addresses_come_back_with_the_last_of_them() {
    let mut fixture = with_routes();
    let before = routes(&fixture);
    for step in take_off(&mut fixture).iter().rev() {
        fixture.harness.undo(step).unwrap_or_else(|error| panic!("{}: {error:?}", step.summary));
        // Whoever looks meanwhile forgets nothing.
        fixture.restart();
        fixture.harness.configure(config(NOTHING));
        fixture.harness.plan().unwrap();
    }
    assert_eq!(routes(&fixture), before);
}

/// Whoever is killed while it undoes is followed by one that does so from the beginning, after it has looked at the machine.
#[test]
fn routes_come_back_after_an_undoing_that_was_cut_short() {
    stopped::everywhere(|places| {
        let mut fixture = with_routes();
        let before = routes(&fixture);
        let steps = take_off(&mut fixture);
        let changes: Vec<_> = steps.iter().map(|step| step.data.clone()).collect();
        let stopped = stopped::undo(InterfacesPlugin::new, &fixture.host, &changes, places)?;
        fixture.restart();
        fixture.harness.configure(config(NOTHING));
        fixture.harness.plan().unwrap();
        for step in steps.iter().rev() {
            fixture.harness.undo(step).unwrap_or_else(|error| panic!("{}: {error:?}", step.summary));
        }
        assert_eq!(routes(&fixture), before, "stopped at {places}: {stopped}");
        Some(stopped)
    });
}
