// What tuning has found, carried from machine to machine.
#include "tune/database.h"

#include "base/error.h"
#include "base/files.h"
#include "pipeline/commands.h"
#include "pipeline/request.h"

namespace rooftune::pipeline {

Json database(const Json& json, Progress& progress, const Cancelled& cancelled) {
  const Request request(json, "database", {"action", "files", "database", "threads", "seed"});
  const std::string action = request.text("action");
  const auto files = request.texts("files");
  const std::string path = request.text("database", "");
  tune::Database database(path.empty() ? cache_directory() + "/tuning.sqlite" : path);
  Json result;
  if (action == "export") {
    if (files.size() != 1) request.fail("files", "one file to export to");
    database.export_jsonl(files[0]);
    result["exported"] = database.all().size() + database.all_records().size();
    result["files"] = files;
  } else if (action == "import") {
    if (files.empty()) request.fail("files", "at least one file to import");
    size_t lines = 0;
    for (size_t i = 0; i < files.size() && !cancelled.requested(); ++i) {
      progress.report("importing " + files[i], static_cast<double>(i), static_cast<double>(files.size()));
      lines += database.import_jsonl(files[i]);
    }
    result["imported"] = lines;
    result["files"] = files;
  } else if (action != "show") {
    request.fail("action", "show, export or import");
  } else if (!files.empty()) {
    request.fail("files", "left out: show has none");
  }
  result["database"] = path.empty() ? cache_directory() + "/tuning.sqlite" : path;
  result["holdings"] = Json::array();
  for (const auto& h : database.holdings())
    result["holdings"].push_back({{"machine", h.machine},
                                  {"threads", h.threads},
                                  {"codegen", h.codegen},
                                  {"tuned", h.entries},
                                  {"measurements", h.records},
                                  {"kernels", h.kernels}});
  return result;
}

}  // namespace rooftune::pipeline
