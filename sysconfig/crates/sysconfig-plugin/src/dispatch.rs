//! From a request to a method of the plugin, and back to an answer.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use sysconfig_protocol::envelope::code;
use sysconfig_protocol::method::{
    Applied, Apply, Check, ClaimedConfig, Configure, Done, Findings, Hello, MakePlan, Observe, Observed, PlannedSteps,
    Shutdown, Undo, Validate, Verify,
};
use sysconfig_protocol::shape;
use sysconfig_protocol::{Call, Diagnostic, ErrorObject, Event, ProtocolRange, Request, Response, Step};

use crate::context::{Cancellations, Context, Sink};
use crate::plugin::{PlannedStep, Plugin};

/// A plugin with the configuration that the daemon gave it.
pub(crate) struct Session<P: Plugin> {
    plugin: P,
    config: Option<Result<P::Config, Diagnostic>>,
    sink: Sink,
    cancellations: Cancellations,
}

/// What to do after a request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Continue,
    Stop,
}

impl<P: Plugin> Session<P> {
    pub(crate) fn new(plugin: P, sink: Sink, cancellations: Cancellations) -> Self {
        Self { plugin, config: None, sink, cancellations }
    }

    /// Answers one request.
    pub(crate) fn answer(&mut self, request: Request) -> (Response, Next) {
        let next = if request.method == Shutdown::METHOD { Next::Stop } else { Next::Continue };
        let id = request.id.clone();
        let result = self.dispatch(request);
        self.cancellations.remove(&id);
        (Response { id: Some(id), result }, next)
    }

    fn dispatch(&mut self, request: Request) -> Result<Value, ErrorObject> {
        let Request { id, method, params } = request;
        let (sink, cancellations) = (self.sink.clone(), self.cancellations.clone());
        let context = |deadline_ms: Option<u64>| {
            let deadline = deadline_ms.map(Duration::from_millis);
            Context::for_request(sink, id, cancellations, deadline)
        };
        match method.as_str() {
            Hello::METHOD => answer(params, |hello: Hello| self.hello(&hello)),
            Configure::METHOD => answer(params, |call: Configure| {
                self.config = Some(read_config::<P::Config>(call.config));
                Ok(Done {})
            }),
            Validate::METHOD => answer(params, |call: Validate| Ok(self.validate(call.config))),
            Check::METHOD => answer(params, |call: Check| {
                let context = context(Some(call.deadline_ms));
                self.check(call.config, &context)
            }),
            Observe::METHOD => answer(params, |call: Observe| {
                let context = context(Some(call.deadline_ms));
                self.observe(&context)
            }),
            MakePlan::METHOD => answer(params, |call: MakePlan| self.plan(call.state)),
            Apply::METHOD => answer(params, |call: Apply| {
                let context = context(Some(call.deadline_ms));
                let change = private_data(&call.step)?;
                let outcome = self.plugin.apply(&change, &context).map_err(|error| error.to_error_object())?;
                Ok(Applied { outcome })
            }),
            Verify::METHOD => answer(params, |call: Verify| self.verify(call.state)),
            Undo::METHOD => answer(params, |call: Undo| {
                let context = context(Some(call.deadline_ms));
                let change = private_data(&call.step)?;
                let outcome = self.plugin.undo(&change, &context).map_err(|error| error.to_error_object())?;
                Ok(Applied { outcome })
            }),
            Event::METHOD => answer(params, |event: Event| {
                let context = context(None);
                self.plugin.event(&event, &context);
                Ok(Done {})
            }),
            Shutdown::METHOD => answer(params, |_: Shutdown| Ok(Done {})),
            other => Err(ErrorObject::new(code::METHOD_NOT_FOUND, format!("no method is named {other:?}"))),
        }
    }

    fn hello(&self, hello: &Hello) -> Result<sysconfig_protocol::Description, ErrorObject> {
        let ours = ProtocolRange::SUPPORTED;
        if ours.common_with(hello.protocol).is_none() {
            let message = format!(
                "the daemon speaks protocol versions {} to {}, this plugin {} to {}",
                hello.protocol.min, hello.protocol.max, ours.min, ours.max
            );
            return Err(ErrorObject::new(code::NO_COMMON_VERSION, message).help("build both from the same source"));
        }
        Ok(self.plugin.describe())
    }

    fn validate(&self, config: ClaimedConfig) -> Findings {
        let diagnostics = match read_config::<P::Config>(config) {
            Ok(config) => self.plugin.validate(&config),
            Err(diagnostic) => vec![diagnostic],
        };
        Findings { diagnostics }
    }

    fn check(&self, config: ClaimedConfig, context: &Context) -> Result<Findings, ErrorObject> {
        let checked = match read_config::<P::Config>(config) {
            Ok(config) => self.plugin.check(&config, context),
            Err(diagnostic) => Ok(vec![diagnostic]),
        };
        checked.map(|diagnostics| Findings { diagnostics }).map_err(|error| error.to_error_object())
    }

    fn observe(&mut self, context: &Context) -> Result<Observed, ErrorObject> {
        let config = usable(&self.config)?;
        let state = self.plugin.observe(config, context).map_err(|error| error.to_error_object())?;
        Ok(Observed { state: to_value("state", &state)? })
    }

    fn plan(&self, state: Value) -> Result<PlannedSteps, ErrorObject> {
        let config = usable(&self.config)?;
        let steps = self.plugin.plan(config, &from_value("state", state)?).map_err(|error| error.to_error_object())?;
        let steps = steps.into_iter().enumerate().map(|(index, step)| wire_step(index + 1, step));
        Ok(PlannedSteps { steps: steps.collect::<Result<_, _>>()? })
    }

    fn verify(&self, state: Value) -> Result<Findings, ErrorObject> {
        let config = usable(&self.config)?;
        Ok(Findings { diagnostics: self.plugin.verify(config, &from_value("state", state)?) })
    }
}

/// Reads the parameters, calls, and writes the answer.
fn answer<C: Call>(
    params: Value,
    handler: impl FnOnce(C) -> Result<C::Answer, ErrorObject>,
) -> Result<Value, ErrorObject> {
    // A request without parameters may leave the member out.
    let params = if params.is_null() { Value::Object(serde_json::Map::new()) } else { params };
    to_value("answer", &handler(from_value("parameters", params)?)?)
}

/// The configuration in force, when there is one that can be worked with.
fn usable<Config>(config: &Option<Result<Config, Diagnostic>>) -> Result<&Config, ErrorObject> {
    match config {
        Some(Ok(config)) => Ok(config),
        Some(Err(diagnostic)) => {
            let message = format!("the configuration is not valid: {}: {}", diagnostic.key, diagnostic.message);
            Err(ErrorObject::new(code::NOT_CONFIGURED, message))
        }
        None => Err(ErrorObject::new(code::NOT_CONFIGURED, "no configuration was given yet")),
    }
}

/// The wire form of the `number`th step.
fn wire_step<Change: serde::Serialize>(number: usize, step: PlannedStep<Change>) -> Result<Step, ErrorObject> {
    let PlannedStep { action, resource, summary, risk, key, changes, change } = step;
    let data = to_value("step", &change)?;
    Ok(Step { id: number.to_string(), action, resource, summary, changes, risk, key, data })
}

/// The plugin's own part of a step. It may come from another build of the plugin, when a step is undone.
fn private_data<Change: DeserializeOwned>(step: &Step) -> Result<Change, ErrorObject> {
    from_value("data of the step", step.data.clone()).map_err(|error| {
        error.help("it was planned by another build of the plugin: put that back, or see to it by hand")
    })
}

/// Reads a configuration; the diagnostic names the key that does not fit, and not its value, which may be a secret.
fn read_config<Config: DeserializeOwned>(config: ClaimedConfig) -> Result<Config, Diagnostic> {
    shape::from_value(Value::Object(config)).map_err(|error| {
        let help = error.help().map(str::to_owned);
        Diagnostic { help, ..Diagnostic::error(error.key(), error.to_string()) }
    })
}

/// Reads what a program wrote.
fn from_value<T: DeserializeOwned>(what: &str, value: Value) -> Result<T, ErrorObject> {
    shape::from_value(value).map_err(|error| {
        let at = if error.key().is_empty() { String::new() } else { format!("{}: ", error.key()) };
        ErrorObject::new(code::INVALID_PARAMS, format!("{what}: unexpected shape")).causes(vec![format!("{at}{error}")])
    })
}

fn to_value<T: serde::Serialize>(what: &str, value: &T) -> Result<Value, ErrorObject> {
    serde_json::to_value(value).map_err(|error| {
        ErrorObject::new(code::INTERNAL_ERROR, format!("cannot write the {what} as JSON"))
            .causes(vec![error.to_string()])
    })
}
