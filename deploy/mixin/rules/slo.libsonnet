// The share of bad requests, for each window that the burn rates look at.
local lib = import '../lib.libsonnet';

{
  local config = $._config,
  local windows = ['5m', '30m', '1h', '2h', '6h', '1d', '3d'],
  local longWindows = ['1h', '6h', '1d', '3d'],
  local grown(name, more, window) = 'sum by (job) %s' % lib.grown(config.selector, name, more, window),

  local slos = {
    availability: {
      // A counter that never counted has no series: then the share is 0 and not unknown.
      bad(window): '(%s or 0 * %s)' % [
        grown('requests_total', 'outcome=~"%(badOutcomes)s"' % config, window),
        self.all(window),
      ],
      all(window): grown('requests_total', 'outcome!~"%(uncountedOutcomes)s"' % config, window),
    },
    // Bad is what is in no bucket up to the bound.
    added_latency: {
      local generation = 'operation="generation"',
      all(window): grown('overhead_seconds_count', generation, window),
      bad(window): '(%s - %s)' % [
        self.all(window),
        grown('overhead_seconds_bucket', '%s,le="%s"' % [generation, config.addedLatencySeconds], window),
      ],
    },
  },

  prometheusRules+:: {
    groups+: [{
      name: 'zenmux-gateway-slo-windows',
      rules: [
        {
          record: 'job:zenmux_gateway_%s_errors:ratio_rate%s' % [name, window],
          expr: lib.line('%s / %s' % [slos[name].bad(window), slos[name].all(window)]),
        }
        for name in std.objectFields(slos)
        for window in windows
      ] + [
        {
          record: 'job:zenmux_gateway_%s_errors:increase%s' % [name, window],
          expr: lib.line(slos[name].bad(window)),
        }
        for name in std.objectFields(slos)
        for window in longWindows
      ],
    }],
  },
}
