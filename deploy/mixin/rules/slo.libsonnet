// The share of bad requests, for each window that the burn rates look at.
local lib = import '../lib.libsonnet';

{
  local config = $._config,
  local windows = ['5m', '30m', '1h', '2h', '6h', '1d', '3d'],
  local longWindows = ['1h', '6h', '1d', '3d'],
  local m(name, more='') = lib.metric(config.selector, name, more),
  local sum(kind, series, window) = 'sum by (job) (%s(%s[%s]))' % [kind, series, window],

  local slos = {
    availability: {
      // A counter that never counted has no series: then the share is 0 and not unknown.
      bad(kind, window): '(%s or 0 * %s)' % [
        sum(kind, m('requests_total', 'outcome=~"%(badOutcomes)s"' % config), window),
        self.all(kind, window),
      ],
      all(kind, window): sum(kind, m('requests_total', 'outcome!~"%(uncountedOutcomes)s"' % config), window),
    },
    // Bad is what is in no bucket up to the bound.
    added_latency: {
      local generation = 'operation="generation"',
      all(kind, window): sum(kind, m('overhead_seconds_count', generation), window),
      bad(kind, window): '(%s - %s)' % [
        self.all(kind, window),
        sum(kind, m('overhead_seconds_bucket', '%s,le="%s"' % [generation, config.addedLatencySeconds]), window),
      ],
    },
  },

  prometheusRules+:: {
    groups+: [{
      name: 'zenmux-gateway-slo-windows',
      rules: [
        {
          record: 'job:zenmux_gateway_%s_errors:ratio_rate%s' % [name, window],
          expr: '%s / %s' % [slos[name].bad('rate', window), slos[name].all('rate', window)],
        }
        for name in std.objectFields(slos)
        for window in windows
      ] + [
        {
          record: 'job:zenmux_gateway_%s_errors:increase%s' % [name, window],
          expr: slos[name].bad('increase', window),
        }
        for name in std.objectFields(slos)
        for window in longWindows
      ],
    }],
  },
}
