// Everything that differs from one site to the next. Override it: (import 'mixin.libsonnet') + { _config+:: { … } }.
{
  _config+:: {
    // Finds the gateways among all that Prometheus scrapes. Every expression has it.
    selector: 'job="zenmux-gateway"',
    // Where docs/operations.md can be read; an alert's name in small letters is its anchor there.
    runbookBase: 'docs/operations.md',
    // A link on each dashboard, and what its own links and folder go by.
    dashboardTag: 'zenmux-gateway',

    // Service levels: the share of requests that must be good over 30 days.
    availabilityObjective: 0.999,
    // Ends that are the gateway's own fault. ZenMux's failures have alerts of their own.
    badOutcomes: 'fault|interrupted|unavailable',
    // Ends that say nothing about the service: the request was at fault, or a limit refused it.
    uncountedOutcomes: 'refused|rejected',
    addedLatencyObjective: 0.99,
    // A bucket of zenmux_gateway_overhead_seconds. Edits do not count: their time is that of the caller's upload.
    addedLatencySeconds: '0.05',
    // So few bad requests in the longer window never wake anybody.
    badRequestsMin: 3,

    upstreamFailedRatio: 0.2,
    requestSeconds: 300,
    quotaUsedRatio: 0.9,
    driftUsd: 0.01,
    reconciledDays: 4,
    noImageCount: 5,
    // Tries to sign in to the console within 15 minutes, of one way to sign in.
    refusedSignIns: 20,
    failedSignIns: 2,
    // One read in twenty for the console or the admin API may take longer. The database ends one after 5 seconds.
    consoleQuerySeconds: 2,
  },
}
