// Panels of Grafana's classic schema, which Grafana 11 to 13 load, and a layout that fills rows from the left.
local datasource = { type: 'prometheus', uid: '${datasource}' };
local letters = ['A', 'B', 'C', 'D', 'E', 'F'];

{
  // A metric of the gateways that the dashboard is to show.
  of(name, more=''):: 'zenmux_gateway_%s{%s}' % [name, std.join(',', ['job=~"$job"'] + (if more == '' then [] else [more]))],
  chosen: 'model=~"$model",operation=~"$operation"',

  local panel(type, title, description, queries, unit, instant) = {
    type: type,
    title: title,
    description: description,
    datasource: datasource,
    fieldConfig: { defaults: { unit: unit }, overrides: [] },
    targets: [
      {
        refId: letters[index],
        datasource: datasource,
        expr: queries[index][0],
        legendFormat: if std.length(queries[index]) > 1 then queries[index][1] else '',
        range: !instant,
        instant: instant,
        editorMode: 'code',
      }
      for index in std.range(0, std.length(queries) - 1)
    ],
  },
  local steps(list) = { mode: 'absolute', steps: [{ color: step[0], value: step[1] } for step in list] },
  local last = { calcs: ['lastNotNull'], fields: '', values: false },

  // One number. `thresholds` are pairs of a colour and the value from which it holds.
  stat(title, description, expr, unit='short', decimals=0, thresholds=[['green', null]], w=3, h=4)::
    panel('stat', title, description, [[expr]], unit, instant=true) {
      size:: { w: w, h: h },
      fieldConfig+: { defaults+: { decimals: decimals, color: { mode: 'thresholds' }, thresholds: steps(thresholds) } },
      options: { colorMode: 'value', graphMode: 'none', justifyMode: 'auto', textMode: 'auto', reduceOptions: last },
    },

  // Lines over time. Each query is an expression and its legend.
  lines(title, description, queries, unit='short', stacked=false, min=0, w=12, h=8)::
    panel('timeseries', title, description, queries, unit, instant=false) {
      size:: { w: w, h: h },
      fieldConfig+: { defaults+: {
        [if min != null then 'min']: min,
        custom: {
          drawStyle: 'line',
          lineWidth: 1,
          fillOpacity: if stacked then 25 else 8,
          showPoints: 'never',
          spanNulls: false,
          stacking: { mode: if stacked then 'normal' else 'none', group: 'A' },
        },
      } },
      options: {
        legend: { displayMode: 'list', placement: 'bottom', showLegend: true },
        tooltip: { mode: 'multi', sort: 'desc' },
      },
    },

  bars(title, description, query, unit='short', thresholds=[['blue', null]], max=null, w=12, h=9)::
    panel('bargauge', title, description, [query], unit, instant=true) {
      size:: { w: w, h: h },
      fieldConfig+: { defaults+: {
        min: 0,
        [if max != null then 'max']: max,
        color: { mode: 'thresholds' },
        thresholds: steps(thresholds),
      } },
      options: { displayMode: 'basic', orientation: 'horizontal', showUnfilled: true, valueMode: 'color', reduceOptions: last },
    },

  // Three quantiles of a histogram.
  quantiles(title, description, name, w=8, h=8):: self.lines(
    title,
    description,
    [
      ['histogram_quantile(%s, sum by (le) (rate(%s[$window])))' % [q, $.of(name + '_bucket', $.chosen)], 'p' + q * 100]
      for q in [0.5, 0.95, 0.99]
    ],
    unit='s',
    w=w,
    h=h
  ),

  perMinute(name, by, more=''):: 'sum by (%s) (rate(%s[$window])) * 60' % [by, $.of(name, more)],
  perHour(name, by, more=''):: 'sum by (%s) (rate(%s[$window])) * 3600' % [by, $.of(name, more)],

  row(title, panels):: { title: title, panels: panels },

  // A dashboard of rows. Panels are put side by side while there is room, which is 24 wide.
  dashboard(config, uid, title, description, rows, from='now-6h'):: {
    local place(state, panel) =
      local fits = state.x + panel.size.w <= 24;
      local x = if fits then state.x else 0;
      local y = if fits then state.y else state.y + state.h;
      local h = if fits then std.max(state.h, panel.size.h) else panel.size.h;
      {
        x: x + panel.size.w,
        y: y,
        h: h,
        done: state.done + [panel { id: std.length(state.done) + 1, gridPos: panel.size { x: x, y: y } }],
      },
    local addRow(state, row) =
      local y = state.y + state.h;
      local head = {
        type: 'row',
        id: std.length(state.done) + 1,
        title: row.title,
        collapsed: false,
        gridPos: { x: 0, y: y, w: 24, h: 1 },
        panels: [],
      };
      std.foldl(place, row.panels, { x: 0, y: y + 1, h: 0, done: state.done + [head] }),
    local label(name, text, metric, more={}) = {
      name: name,
      label: text,
      type: 'query',
      datasource: datasource,
      query: { query: 'label_values(%s, %s)' % [metric, name], refId: 'v' },
      definition: self.query.query,
      refresh: 2,
      includeAll: true,
      multi: true,
      allValue: '.*',
      current: { selected: true, text: ['All'], value: ['$__all'] },
      sort: 1,
    },

    uid: uid,
    title: title,
    description: description,
    tags: [config.dashboardTag],
    schemaVersion: 39,
    version: 1,
    editable: true,
    graphTooltip: 1,
    timezone: 'browser',
    time: { from: from, to: 'now' },
    refresh: '30s',
    annotations: { list: [] },
    links: [{
      type: 'dashboards',
      title: 'ZenMux gateway',
      tags: [config.dashboardTag],
      asDropdown: true,
      includeVars: true,
      keepTime: true,
    }],
    templating: { list: [
      {
        name: 'datasource',
        label: 'Data source',
        type: 'datasource',
        query: 'prometheus',
        current: { text: 'Prometheus', value: 'prometheus' },
      },
      label('job', 'Job', 'zenmux_gateway_build_info'),
      label('operation', 'Operation', 'zenmux_gateway_requests_total{job=~"$job"}'),
      label('model', 'Model', 'zenmux_gateway_requests_total{job=~"$job"}'),
      {
        name: 'window',
        label: 'Averaged over',
        type: 'custom',
        query: '5m,15m,1h,6h',
        current: { selected: true, text: '15m', value: '15m' },
        options: [
          { selected: text == '15m', text: text, value: text }
          for text in ['5m', '15m', '1h', '6h']
        ],
      },
    ] },
    panels: std.foldl(addRow, rows, { x: 0, y: 0, h: 0, done: [] }).done,
  },
}
