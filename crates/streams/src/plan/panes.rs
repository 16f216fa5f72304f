//! Aggregates over windows that overlap: each row is counted in one pane, and panes in their windows.
//!
//! A window of ten seconds that begins every two is five panes of two. Rows come far more often than panes change, so
//! what is done for each row is done once and not five times (Li et al., "No Pane, No Gain", 2005).

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::{
    Aggregate, AggregateFunction, Node, NodeId, Operator, Plan, WindowKind, share::columns,
};

/// An aggregation over the windows of rows, all columns by their place in the rows.
struct Windowed<'p> {
    rows: NodeId,
    time: usize,
    windows: WindowKind,
    pane: WindowKind,
    keys: Vec<Key>,
    aggregates: &'p [Aggregate],
    /// Of each aggregate: its argument and its filter.
    reads: Vec<(Option<usize>, Option<usize>)>,
    /// Type of a window's bounds.
    bound: DataType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Column(usize),
    Start,
    End,
}

impl Plan {
    /// A plan of the same result in which overlapping windows are made of panes where they can be.
    #[must_use]
    pub fn paned(self) -> Self {
        let mut paned = Self::default();
        let mut places: Vec<NodeId> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let place = match self.windowed(node) {
                Some(windowed) => paned.panes(&self, &windowed, &places, &node.schema),
                None => {
                    let inputs = node.inputs.iter().map(|input| places[input.0]);
                    let inputs: Vec<NodeId> = inputs.collect();
                    let place = paned.add(node.operator.clone(), &inputs, node.schema.clone());
                    paned.nodes[place.0].closes = node.closes;
                    place
                }
            };
            places.push(place);
        }
        paned
    }

    /// What an aggregation does with windows, when panes can do the same.
    fn windowed<'p>(&'p self, aggregation: &'p Node) -> Option<Windowed<'p>> {
        let Operator::Aggregate { keys, aggregates } = &aggregation.operator else {
            return None;
        };
        // Which rows are late, panes tell otherwise than windows.
        if aggregation.closes.is_some() {
            return None;
        }
        let mut node = aggregation.inputs[0];
        let mut places: Vec<usize> = (0..self.nodes[node.0].schema.fields().len()).collect();
        // Columns only change their places between the windows and the aggregation.
        while let Operator::Project(expressions) = &self.nodes[node.0].operator {
            let sources: Option<Vec<usize>> = expressions.iter().map(|e| e.column()).collect();
            let sources = sources?;
            places.iter_mut().for_each(|place| *place = sources[*place]);
            node = self.nodes[node.0].inputs[0];
        }
        let Operator::Windows { time, windows } = self.nodes[node.0].operator else {
            return None;
        };
        let WindowKind::Hop {
            size,
            slide,
            offset,
        } = windows
        else {
            return None;
        };
        let is_whole = size > slide && size.as_micros().checked_rem(slide.as_micros()) == Some(0);
        let fields = self.nodes[node.0].schema.fields();
        let start = fields.len().checked_sub(2)?;
        let key = |place: &usize| match places[*place] {
            at if at == start => Key::Start,
            at if at == start + 1 => Key::End,
            at => Key::Column(at),
        };
        let keys: Vec<Key> = keys.iter().map(key).collect();
        let has_window = keys.contains(&Key::Start) || keys.contains(&Key::End);
        let of_rows = |place: usize| Some(places[place]).filter(|place| *place < start);
        let reads = aggregates.iter().map(|aggregate| {
            let argument = aggregate.arguments.first().map(|place| of_rows(*place));
            let filter = aggregate.filter.map(of_rows);
            let is_of_rows = argument != Some(None) && filter != Some(None);
            is_of_rows.then(|| (argument.flatten(), filter.flatten()))
        });
        let reads: Vec<_> = reads.collect::<Option<_>>()?;
        let input = &self.nodes[aggregation.inputs[0].0].schema;
        let results = aggregation.schema.fields().iter().skip(keys.len());
        let mut each = aggregates.iter().zip(results);
        let can = each.all(|(one, result)| one.is_in_parts(input, result.data_type()));
        (is_whole && has_window && can).then(|| Windowed {
            rows: self.nodes[node.0].inputs[0],
            time,
            windows,
            pane: WindowKind::Tumble {
                size: slide,
                offset,
            },
            keys,
            aggregates,
            reads,
            bound: fields[start].data_type().clone(),
        })
    }

    /// Rows to panes, their aggregates, those into windows, and theirs.
    fn panes(
        &mut self,
        from: &Self,
        windowed: &Windowed<'_>,
        places: &[NodeId],
        schema: &SchemaRef,
    ) -> NodeId {
        let rows = &from.nodes[windowed.rows.0].schema;
        let bound = |name: &str| Arc::new(Field::new(name, windowed.bound.clone(), true));
        let bounds = [bound("pane_start"), bound("pane_end")];
        let with_bounds = |schema: &SchemaRef| {
            let fields = schema.fields().iter().chain(&bounds).cloned();
            Arc::new(Schema::new(fields.collect::<Vec<_>>()))
        };
        let in_panes = self.add(
            Operator::Windows {
                time: windowed.time,
                windows: windowed.pane,
            },
            &[places[windowed.rows.0]],
            with_bounds(rows),
        );
        // By the columns that are no bounds, and the pane's start behind them.
        let by: Vec<usize> = windowed
            .keys
            .iter()
            .filter_map(|key| key.column())
            .collect();
        let read = by.iter().copied().chain([rows.fields().len()]);
        let read = read.chain(
            windowed
                .reads
                .iter()
                .flat_map(|(a, f)| a.iter().chain(f).copied()),
        );
        let read: Vec<usize> = read.collect();
        let fields = |places: &[usize], schema: &SchemaRef| {
            let fields = places.iter().map(|place| schema.fields()[*place].clone());
            Arc::new(Schema::new(fields.collect::<Vec<_>>()))
        };
        let narrow = fields(&read, &self.nodes[in_panes.0].schema);
        let narrowed = self.add(
            Operator::Project(columns(read)),
            &[in_panes],
            narrow.clone(),
        );
        let mut next = by.len() + 1;
        let mut place = |is_read: bool| {
            next += usize::from(is_read);
            is_read.then(|| next - 1)
        };
        let parts = windowed.aggregates.iter().zip(&windowed.reads);
        let parts = parts.map(|(aggregate, (argument, filter))| Aggregate {
            arguments: place(argument.is_some()).into_iter().collect(),
            filter: place(filter.is_some()),
            ..aggregate.clone()
        });
        let parts: Vec<Aggregate> = parts.collect();
        let results = schema.fields().iter().skip(windowed.keys.len()).cloned();
        let of_panes = narrow.fields().iter().take(by.len() + 1).cloned();
        let of_panes = Arc::new(Schema::new(of_panes.chain(results).collect::<Vec<_>>()));
        let panes = self.add(
            Operator::Aggregate {
                keys: (0..=by.len()).collect(),
                aggregates: parts,
            },
            &[narrowed],
            of_panes.clone(),
        );
        let in_windows = self.add(
            Operator::Windows {
                time: by.len(),
                windows: windowed.windows,
            },
            &[panes],
            with_bounds(&of_panes),
        );
        let start = of_panes.fields().len();
        let mut column = 0..;
        let keys = windowed.keys.iter().map(|key| match key {
            Key::Column(_) => column.next().unwrap_or_default(),
            Key::Start => start,
            Key::End => start + 1,
        });
        let keys = keys.collect();
        let whole = windowed.aggregates.iter().zip(by.len() + 1..);
        let whole = whole.map(|(aggregate, place)| aggregate.of_parts(place));
        let operator = Operator::Aggregate {
            keys,
            aggregates: whole.collect(),
        };
        self.add(operator, &[in_windows], schema.clone())
    }
}

impl Key {
    fn column(self) -> Option<usize> {
        match self {
            Self::Column(column) => Some(column),
            Self::Start | Self::End => None,
        }
    }
}

impl Aggregate {
    /// Whether its value over rows is what it gives over its values for parts of them; also where a part's sum is large.
    fn is_in_parts(&self, input: &SchemaRef, result: &DataType) -> bool {
        use AggregateFunction::{BitAnd, BitOr, BoolAnd, BoolOr, Count, Max, Min, Sum};
        let is_plain = !self.distinct && self.order.is_empty() && self.arguments.len() <= 1;
        let argument = self.arguments.first();
        let argument = argument.map(|place| input.fields()[*place].data_type());
        let is_known = match self.function {
            Count | Min | Max | BoolAnd | BoolOr | BitAnd | BitOr => true,
            Sum => argument.is_some_and(|argument| {
                let is_narrow = argument.primitive_width().is_some_and(|width| width < 8);
                let is_wide = matches!(result, DataType::Decimal128(38, 0));
                argument.is_integer() && (is_narrow || is_wide)
            }),
            _ => false,
        };
        is_plain && is_known
    }

    /// Of the values that it gave for parts.
    fn of_parts(&self, place: usize) -> Self {
        let function = match self.function {
            AggregateFunction::Count => AggregateFunction::Sum,
            ref other => other.clone(),
        };
        Self {
            function,
            arguments: vec![place],
            distinct: false,
            filter: None,
            order: Vec::new(),
        }
    }
}
