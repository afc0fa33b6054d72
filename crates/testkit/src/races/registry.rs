//! The registry as one caller at a time meets it: the specification that histories are held against. The caller is an
//! admin; names and workspaces are few and fixed, and known by their place.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use super::history::Operation;
use super::linearizable::{Specification, Step, Verdict, check};

/// A connection: the one of this name that the `create` of this number made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Which {
    /// Its name.
    pub name: usize,
    /// Its number, which no other `create` has.
    pub number: u64,
}

/// What a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// `create`.
    Create(Which),
    /// `get`.
    Get {
        /// The name.
        name: usize,
    },
    /// `get_by_id`.
    GetById(Which),
    /// `list`.
    List {
        /// Only what is attached to this workspace.
        within: Option<usize>,
        /// A page that goes on after this name.
        after: Option<usize>,
        /// A page of so many.
        limit: Option<usize>,
    },
    /// `add_to_workspace`.
    Attach {
        /// The connection.
        which: Which,
        /// The workspace.
        to: usize,
    },
    /// `remove_from_workspace`.
    Detach {
        /// The connection.
        which: Which,
        /// The workspace.
        from: usize,
    },
    /// `delete`.
    Delete {
        /// The name.
        name: usize,
    },
}

/// What a client is told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Created, detached, or deleted.
    Done,
    /// Attached, with the attachment of this number.
    Attached(u64),
    /// The connection.
    Found(View),
    /// Rows of a list, and whether more follow.
    Page(Vec<View>, bool),
    /// 404.
    NotFound,
    /// 409.
    Conflict,
}

/// A connection as an answer shows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct View {
    /// Which it is.
    pub which: Which,
    /// The workspaces that it is attached to.
    pub attached: BTreeSet<usize>,
}

/// The connections, by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State(Vec<Option<Connection>>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Connection {
    number: u64,
    /// Workspaces with the number of the attachment, unless nobody was told it yet.
    attached: BTreeMap<usize, Option<u64>>,
    /// Attachments that are no more: their numbers are not used again.
    ended: BTreeSet<u64>,
}

impl Connection {
    fn view(&self, name: usize) -> View {
        let number = self.number;
        View {
            which: Which { name, number },
            attached: self.attached.keys().copied().collect(),
        }
    }
}

impl State {
    fn named(&self, name: usize) -> Option<&Connection> {
        self.0.get(name).and_then(Option::as_ref)
    }

    fn all(&self) -> impl Iterator<Item = (usize, &Connection)> {
        let places = (0..).zip(&self.0);
        places.filter_map(|(name, connection)| connection.as_ref().map(|connection| (name, connection)))
    }

    fn numbered(&self, which: Which) -> Option<&Connection> {
        self.named(which.name)
            .filter(|connection| connection.number == which.number)
    }

    fn with(&self, name: usize, connection: Option<Connection>) -> Step<Self> {
        let mut state = self.clone();
        if let Some(place) = state.0.get_mut(name) {
            *place = connection;
        }
        Step::Changed(state)
    }

    fn page(&self, within: Option<usize>, after: Option<usize>, limit: Option<usize>) -> Answer {
        let mut rows: Vec<View> = self
            .all()
            .filter(|(name, _)| after.is_none_or(|after| *name > after))
            .filter(|(_, connection)| within.is_none_or(|within| connection.attached.contains_key(&within)))
            .map(|(name, connection)| connection.view(name))
            .collect();
        let more = limit.is_some_and(|limit| rows.len() > limit);
        rows.truncate(limit.unwrap_or(usize::MAX));
        Answer::Page(rows, more)
    }

    fn attach(&self, which: Which, to: usize, answer: Option<&Answer>) -> Step<Self> {
        let Some(connection) = self.numbered(which) else {
            return unchanged(answer, &Answer::NotFound);
        };
        let told = match answer {
            None => None,
            Some(Answer::Attached(attachment)) => Some(*attachment),
            Some(_) => return Step::Impossible,
        };
        let is_new = told.is_none_or(|told| !connection.ended.contains(&told));
        match (connection.attached.get(&to), told) {
            (Some(_), None) => return Step::Unchanged,
            (Some(Some(known)), Some(told)) if *known == told => return Step::Unchanged,
            (Some(None) | None, _) if is_new => {}
            _ => return Step::Impossible,
        }
        let mut attached = connection.clone();
        attached.attached.insert(to, told);
        self.with(which.name, Some(attached))
    }

    fn detach(&self, which: Which, from: usize, answer: Option<&Answer>) -> Step<Self> {
        let found = self.numbered(which);
        let Some((connection, attachment)) = found.and_then(|one| Some((one, one.attached.get(&from)?))) else {
            return unchanged(answer, &Answer::NotFound);
        };
        if answer.is_some_and(|answer| *answer != Answer::Done) {
            return Step::Impossible;
        }
        let mut detached = connection.clone();
        detached.attached.remove(&from);
        detached.ended.extend(attachment);
        self.with(which.name, Some(detached))
    }

    fn delete(&self, name: usize, answer: Option<&Answer>) -> Step<Self> {
        match self.named(name) {
            None => unchanged(answer, &Answer::NotFound),
            Some(connection) if !connection.attached.is_empty() => unchanged(answer, &Answer::Conflict),
            Some(_) if answer.is_none_or(|answer| *answer == Answer::Done) => self.with(name, None),
            Some(_) => Step::Impossible,
        }
    }
}

/// A call that has this one right answer and changes nothing.
fn unchanged(answer: Option<&Answer>, right: &Answer) -> Step<State> {
    match answer {
        Some(answer) if answer != right => Step::Impossible,
        _ => Step::Unchanged,
    }
}

/// A registry with so many names, all free at first.
#[derive(Debug, Clone, Copy)]
pub struct Registry {
    /// How many.
    pub names: usize,
}

impl Specification for Registry {
    type State = State;
    type Call = Call;
    type Answer = Answer;

    fn start(&self) -> State {
        State(vec![None; self.names])
    }

    fn step(&self, state: &State, call: &Call, answer: Option<&Answer>) -> Step<State> {
        let found = |found: Option<View>| unchanged(answer, &found.map_or(Answer::NotFound, Answer::Found));
        match *call {
            Call::Create(Which { name, number }) => match (state.named(name), answer) {
                (Some(_), _) => unchanged(answer, &Answer::Conflict),
                (None, None | Some(Answer::Done)) => {
                    let (attached, ended) = (BTreeMap::new(), BTreeSet::new());
                    state.with(
                        name,
                        Some(Connection {
                            number,
                            attached,
                            ended,
                        }),
                    )
                }
                (None, Some(_)) => Step::Impossible,
            },
            Call::Get { name } => found(state.named(name).map(|connection| connection.view(name))),
            Call::GetById(which) => found(state.numbered(which).map(|connection| connection.view(which.name))),
            Call::List { within, after, limit } => unchanged(answer, &state.page(within, after, limit)),
            Call::Attach { which, to } => state.attach(which, to, answer),
            Call::Detach { which, from } => state.detach(which, from, answer),
            Call::Delete { name } => state.delete(name, answer),
        }
    }

    fn reads(&self, call: &Call, answer: Option<&Answer>) -> bool {
        match answer {
            Some(answer) => !matches!(answer, Answer::Done | Answer::Attached(_)),
            None => matches!(call, Call::Get { .. } | Call::GetById(_) | Call::List { .. }),
        }
    }

    fn part(&self, call: &Call) -> Option<usize> {
        Self::part_of(call)
    }
}

impl Registry {
    /// The name that a call is about.
    fn part_of(call: &Call) -> Option<usize> {
        match *call {
            Call::Get { name } | Call::Delete { name } => Some(name),
            Call::Create(which) | Call::GetById(which) | Call::Attach { which, .. } | Call::Detach { which, .. } => {
                Some(which.name)
            }
            Call::List { .. } => None,
        }
    }
}

/// How far a history was found linearizable, or why it is not.
pub type Finding = Result<Reach, Verdict<State, Call, Answer>>;

/// How far a history was found linearizable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// All of it: one order explains every answer.
    Whole,
    /// What it tells of each name. That proves of any operation about one name all that there is to prove, for objects
    /// that are linearizable each are so together (Herlihy and Wing, 1990). Of a list it proves that each row, and each
    /// row's absence, was right at some moment of the call, but not that one moment was right for all of them: with so
    /// many outcomes unknown there were too many orders to look at.
    EachName,
}

impl Registry {
    /// Holds a history against this registry: name by name, which is quick and explains best, and then whole.
    ///
    /// # Errors
    /// The verdict, where it is that the history is not linearizable, or that even one name has too many orders.
    pub fn judge(&self, history: &[Operation<Call, Answer>]) -> Finding {
        self.judge_each_name(history)?;
        match check(self, history) {
            Verdict::Linearizable => Ok(Reach::Whole),
            Verdict::Undecided => Ok(Reach::EachName),
            violated => Err(violated),
        }
    }

    /// Holds a history against this registry name by name only: for a home whose lists are not of one moment.
    ///
    /// # Errors
    /// As those of [`Registry::judge`].
    pub fn judge_each_name(&self, history: &[Operation<Call, Answer>]) -> Finding {
        for name in 0..self.names {
            match check(self, &about(history, name)) {
                Verdict::Linearizable => {}
                verdict => return Err(verdict),
            }
        }
        Ok(Reach::EachName)
    }
}

/// Takes each `get` and `get_by_id` of a history that found something to have been asked as early as `earlier` says of the
/// moment at which it was: for a home where they may be late. None is taken to be asked before the `create` of what it
/// found, which says the same and leaves fewer orders to look at.
pub fn with_late_reads(history: &mut [Operation<Call, Answer>], earlier: impl Fn(u64) -> u64) {
    let creates = history.iter().filter_map(|operation| match operation.call {
        Call::Create(which) => Some((which, operation.asked)),
        _ => None,
    });
    let creates: HashMap<Which, u64> = creates.collect();
    for operation in history {
        if let (Call::Get { .. } | Call::GetById(_), Some(Answer::Found(view))) = (operation.call, &operation.answer) {
            let created = creates.get(&view.which).copied().unwrap_or(0);
            operation.asked = operation.asked.min(earlier(operation.asked).max(created));
        }
    }
}

/// What a history tells of one name, as if there were no others: of a list whether its row is there, unless the page
/// does not reach so far.
fn about(history: &[Operation<Call, Answer>], name: usize) -> Vec<Operation<Call, Answer>> {
    let of_name = |operation: &Operation<Call, Answer>| {
        let Call::List { within, after, .. } = operation.call else {
            let about = Registry::part_of(&operation.call) == Some(name);
            return about.then(|| operation.clone());
        };
        let Some(Answer::Page(rows, more)) = &operation.answer else {
            return None;
        };
        let last = rows.last().map(|row| row.which.name);
        let reached = after.is_none_or(|after| name > after) && (!more || last.is_some_and(|last| name <= last));
        let row = rows.iter().filter(|row| row.which.name == name).cloned().collect();
        reached.then(|| Operation {
            call: Call::List {
                within,
                after: None,
                limit: None,
            },
            answer: Some(Answer::Page(row, false)),
            ..operation.clone()
        })
    };
    history.iter().filter_map(of_name).collect()
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(which) => write!(f, "create {which}"),
            Self::Get { name } => write!(f, "get name {name}"),
            Self::GetById(which) => write!(f, "get_by_id {which}"),
            Self::List { within, after, limit } => {
                f.write_str("list")?;
                within.map_or(Ok(()), |within| write!(f, " of workspace {within}"))?;
                after.map_or(Ok(()), |after| write!(f, " after name {after}"))?;
                limit.map_or(Ok(()), |limit| write!(f, ", at most {limit}"))
            }
            Self::Attach { which, to } => write!(f, "attach {which} to workspace {to}"),
            Self::Detach { which, from } => write!(f, "detach {which} from workspace {from}"),
            Self::Delete { name } => write!(f, "delete name {name}"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Attached(attachment) => write!(f, "attachment {attachment}"),
            Self::Found(view) => view.fmt(f),
            Self::Page(rows, more) => {
                let rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
                let more = if *more { ", and more" } else { "" };
                write!(f, "[{}]{more}", rows.join("; "))
            }
            Self::NotFound => f.write_str("not found"),
            Self::Conflict => f.write_str("conflict"),
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {} of name {}", self.number, self.name)
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to: Vec<String> = self.attached.iter().map(ToString::to_string).collect();
        write!(f, "{} in workspaces [{}]", self.which, to.join(", "))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.all().map(|(name, one)| one.view(name).to_string()).collect();
        if all.is_empty() {
            return f.write_str("there was no connection");
        }
        write!(f, "there was {}", all.join(" and "))
    }
}
