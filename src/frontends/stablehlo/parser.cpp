// Text → Module. One loop reads nearly every pretty form (operands, `key = value`, bare words, ranges, a dictionary,
// types); what has regions or operands in an order of its own has a function.
#include <set>

#include "frontends/stablehlo/attributes.h"
#include "frontends/stablehlo/lexer.h"
#include "frontends/stablehlo/syntax.h"
#include "frontends/utf8.h"

namespace rooftune::frontends::mlir {
namespace {

using Kind = Attribute::Kind;
constexpr size_t kMostResults = 4096;  // of one operation; "%0:2" names a count

class Parser : AttributeReader {
 public:
  explicit Parser(std::string_view text) : AttributeReader(text) {}

  Module run() {
    while (lexer_.peek() != 0) {
      if (lexer_.peek() == '#') alias();
      else if (lexer_.accept("{-#")) resources();
      else if (lexer_.accept("module")) module();
      else if (lexer_.accept("func.func")) function();
      else if (lexer_.peek() == '"') generic_module(operation());
      else lexer_.fail("expected 'module', 'func.func' or an alias");
    }
    if (out_.functions.empty()) lexer_.fail("a module without functions; expected 'func.func'");
    return std::move(out_);
  }

 private:
  // --- the module

  void module() {
    if (seen_module_) lexer_.fail("a second module; one is accepted");
    seen_module_ = true;
    if (lexer_.peek() == '@') out_.name = lexer_.symbol();
    if (lexer_.accept("attributes")) dictionary();
    lexer_.expect("{");
    while (!lexer_.accept("}")) {
      if (lexer_.accept("func.func")) function();
      else if (lexer_.accept("sdy.mesh")) mesh();
      else if (lexer_.peek() == '"') generic_function(operation());
      else lexer_.fail("expected 'func.func' or '}'");
    }
    location();
  }

  /// sdy.mesh @name = <["x"=2]> {…}: how many devices there are changes no value.
  void mesh() {
    lexer_.symbol();
    lexer_.expect("=");
    lexer_.balanced();
    if (lexer_.peek() == '{') dictionary();
    location();
  }

  /// "builtin.module"() ({ functions })
  void generic_module(Operation module) {
    if (module.name == "func.func") return generic_function(std::move(module));
    if (module.name != "builtin.module" || module.regions.size() != 1)
      lexer_.fail_here(module.at, fmt::format("expected \"builtin.module\" with a body, not \"{}\"", module.name));
    if (const auto it = module.attributes.find("sym_name"); it != module.attributes.end())
      out_.name = is_utf8(it->second.text) ? it->second.text : "";
    for (Operation& op : module.regions[0].operations) generic_function(std::move(op));
  }

  /// "func.func"() <{sym_name = "…", function_type = (…) -> (…), arg_attrs = […], res_attrs = […]}> ({ body })
  void generic_function(Operation op) {
    if (op.name != "func.func" || op.regions.size() != 1)
      lexer_.fail_here(op.at, fmt::format("expected \"func.func\" with a body, not \"{}\"", op.name));
    Function f;
    f.at = op.at;
    f.name = op.attributes["sym_name"].text;
    const Attribute& type = op.attributes["function_type"];
    if (f.name.empty() || !is_utf8(f.name) || type.kind != Kind::function_type)
      lexer_.fail_here(op.at, "a function needs 'sym_name' and 'function_type'");
    f.body = std::move(op.regions[0]);
    if (f.body.arguments.size() != type.arguments.size())
      lexer_.fail_here(op.at, fmt::format("'@{}' has {} arguments and states {}", f.name, f.body.arguments.size(),
                                          type.arguments.size()));
    for (size_t i = 0; i < type.arguments.size(); ++i) {
      if (!(f.body.arguments[i].type == type.arguments[i]))
        lexer_.fail_here(op.at, fmt::format("argument {} of '@{}' is {}, stated is {}", i, f.name,
                                            text_of(f.body.arguments[i].type), text_of(type.arguments[i])));
    }
    const std::vector<Attribute>&given = op.attributes["arg_attrs"].items, &made = op.attributes["res_attrs"].items;
    for (size_t i = 0; i < std::min(given.size(), f.body.arguments.size()); ++i)
      f.body.arguments[i].attributes = given[i].fields;
    f.arguments = f.body.arguments;
    f.result_types = type.results;
    f.result_attributes.resize(type.results.size());
    for (size_t i = 0; i < std::min(made.size(), type.results.size()); ++i) f.result_attributes[i] = made[i].fields;
    add(std::move(f));
  }

  void add(Function f) {
    const std::string name = f.name;
    const size_t at = f.at;
    if (!out_.functions.emplace(name, std::move(f)).second)
      lexer_.fail_here(at, fmt::format("function '@{}' is defined twice", name));
  }

  void alias() {
    const std::string name = alias_name();
    lexer_.expect("=");
    if (lexer_.peek() == 'l' && lexer_.accept("loc")) out_.locations[name] = location_body();
    else aliases_[name] = attribute();
  }

  // --- functions

  void function() {
    Function f;
    if (!lexer_.accept("public")) lexer_.accept("private");
    f.at = lexer_.at();
    f.name = lexer_.symbol();
    lexer_.expect("(");
    while (!lexer_.accept(")")) {
      f.arguments.push_back(argument());
      if (lexer_.peek() != ')') lexer_.expect(",");
    }
    if (lexer_.accept("->")) function_results(f);
    if (lexer_.accept("attributes")) dictionary();
    if (lexer_.peek() != '{') lexer_.fail("expected '{': a function without a body is not supported");
    f.body = region({});
    f.body.arguments.insert(f.body.arguments.begin(), f.arguments.begin(), f.arguments.end());
    location();
    add(std::move(f));
  }

  void function_results(Function& f) {
    if (!lexer_.accept("(")) {
      f.result_types.push_back(lexer_.type());
      f.result_attributes.emplace_back();
      return;
    }
    while (!lexer_.accept(")")) {
      f.result_types.push_back(lexer_.type());
      f.result_attributes.push_back(lexer_.peek() == '{' ? dictionary() : Attributes{});
      if (lexer_.peek() != ')') lexer_.expect(",");
    }
  }

  Argument argument() {
    Argument a;
    a.name = lexer_.value_name();
    lexer_.expect(":");
    a.type = lexer_.type();
    if (lexer_.peek() == '{') a.attributes = dictionary();
    a.location = location();
    return a;
  }

  // --- regions and operations

  /// "{ ^bb0(%a: type, …): operations }"; `arguments` are those that a pretty form has given before.
  Region region(std::vector<Argument> arguments) {
    const Lexer::Nested nested(lexer_);
    Region r;
    r.arguments = std::move(arguments);
    lexer_.expect("{");
    if (lexer_.accept("^")) {
      lexer_.word();
      if (lexer_.accept("(")) {
        while (!lexer_.accept(")")) {
          r.arguments.push_back(argument());
          if (lexer_.peek() != ')') lexer_.expect(",");
        }
      }
      lexer_.expect(":");
    }
    while (!lexer_.accept("}")) {
      if (lexer_.peek() == '^') lexer_.fail("regions of several blocks are not supported: expected '}'");
      r.operations.push_back(operation());
    }
    return r;
  }

  Operation operation() {
    Operation op;
    std::vector<std::string> groups;
    if (lexer_.peek() == '%') {
      do {
        const std::string name = lexer_.value_name();
        if (name.find('#') != std::string::npos) lexer_.fail("expected a result (%name) without '#'");
        if (!lexer_.accept(":")) {
          op.results.push_back(name);
          continue;
        }
        const int64_t n = lexer_.integer();
        if (n < 1 || n > static_cast<int64_t>(kMostResults)) lexer_.fail("too many results");
        for (int64_t i = 0; i < n; ++i) op.results.push_back(fmt::format("{}#{}", name, i));
      } while (lexer_.accept(","));
      lexer_.expect("=");
    }
    op.at = lexer_.at();
    if (lexer_.peek() == '"') generic(op);
    else if (lexer_.next_is_word()) pretty(op);
    else lexer_.fail("expected an operation");
    op.location = location();
    if (op.result_types.size() != op.results.size() && !op.results.empty())
      lexer_.fail_here(op.at, fmt::format("{}: {} results are named, {} have types", op.name, op.results.size(),
                                          op.result_types.size()));
    return op;
  }

  void operands(Operation& op) {
    lexer_.expect("(");
    while (!lexer_.accept(")")) {
      op.operands.push_back(lexer_.value_name());
      if (lexer_.peek() != ')') lexer_.expect(",");
    }
  }

  void merge(Operation& op, Attributes more) { op.attributes.merge(std::move(more)); }

  /// "name"(operands) <{properties}> ({regions}) {attributes} : (types) -> types
  void generic(Operation& op) {
    op.name = lexer_.quoted();
    operands(op);
    if (lexer_.peek() == '[') lexer_.fail("branches between blocks are not supported");
    if (lexer_.accept("<")) {
      merge(op, dictionary());
      lexer_.expect(">");
    }
    if (lexer_.accept("(")) {
      do op.regions.push_back(region({}));
      while (lexer_.accept(","));
      lexer_.expect(")");
    }
    if (lexer_.peek() == '{') merge(op, dictionary());
    lexer_.expect(":");
    types(op);
    if (op.operand_types.size() != op.operands.size())
      lexer_.fail_here(op.at, fmt::format("{}: {} operands, {} types of operands", op.name, op.operands.size(),
                                          op.operand_types.size()));
  }

  /// "(operand types) -> result types", or the list of types that a pretty form has instead.
  void types(Operation& op) {
    if (lexer_.peek() == '(') {
      op.operand_types = parenthesised_types();
      lexer_.expect("->");
      if (lexer_.peek() == '(') op.result_types = parenthesised_types();
      else op.result_types.push_back(lexer_.type());
      return;
    }
    std::vector<ir::Type> listed;
    do listed.push_back(lexer_.type());
    while (lexer_.accept(","));
    if (op.results.empty() || listed.size() == op.operands.size()) op.operand_types = listed;
    else if (listed.size() == 1) op.operand_types.assign(op.operands.size(), listed[0]);
    if (op.results.size() == listed.size()) op.result_types = listed;
    else if (!op.results.empty()) op.result_types.assign(op.results.size(), listed.back());  // select: pred, others
    if (op.name == "stablehlo.select" && listed.size() == 2 && op.operands.size() == 3)
      op.operand_types = {listed[0], listed[1], listed[1]};
  }

  void pretty(Operation& op) {
    op.name = lexer_.word();
    if (op.name == "call" || op.name == "return") op.name = "func." + op.name;
    if (op.name == "stablehlo.while") return pretty_while(op);
    if (op.name == "stablehlo.reduce") return pretty_reduce(op);
    if (op.name == "stablehlo.constant") return constant(op);
    for (;;) {
      const char c = lexer_.peek();
      const size_t at = lexer_.at();
      if (c == '}' || c == 0) return;  // a return of nothing
      if (lexer_.accept(":")) return types(op);
      if (lexer_.accept(",")) continue;
      if (c == '%') op.operands.push_back(lexer_.value_name());
      else if (c == '(') operands(op);
      else if (c == '{') merge(op, dictionary());
      else if (c == '[') op.attributes["ranges"] = list();
      else if (c == '@') op.attributes["callee"] = attribute();
      else if (c == '"') op.attributes["name"] = attribute(false);
      else if (c == '<' && lexer_.accept("<")) {
        merge(op, dictionary());
        lexer_.expect(">");
      } else if (lexer_.next_is_word()) {
        const std::string word = lexer_.word();
        if (word == "loc") return lexer_.rewind(at);
        if (lexer_.accept("=")) {
          op.attributes[word] = attribute(false);
        } else {
          Attribute& words = op.attributes["words"];
          words.kind = Kind::list;
          words.items.emplace_back();
          words.items.back().kind = Kind::word;
          words.items.back().at = at;
          words.items.back().text = word;
        }
      } else {
        lexer_.fail(fmt::format("{}: expected an operand, an attribute or ':' and types", op.name));
      }
    }
  }

  void constant(Operation& op) {
    if (lexer_.peek() == '{') merge(op, dictionary());
    Attribute value = word_attribute();
    if (value.kind != Kind::tensor) lexer_.fail_here(value.at, "expected dense<…> : tensor<…>");
    op.result_types = {value.type};
    op.attributes["value"] = std::move(value);
  }

  /// while(%a = %x, …) : types attributes {…} cond {…} do {…}
  void pretty_while(Operation& op) {
    std::vector<Argument> arguments;
    lexer_.expect("(");
    while (!lexer_.accept(")")) {
      arguments.push_back({lexer_.value_name(), {}, "", {}});
      lexer_.expect("=");
      op.operands.push_back(lexer_.value_name());
      if (lexer_.peek() != ')') lexer_.expect(",");
    }
    if (lexer_.accept(":")) types(op);
    if (op.operand_types.size() != arguments.size())
      lexer_.fail_here(op.at,
                       fmt::format("{}: {} variables, {} types", op.name, arguments.size(), op.operand_types.size()));
    for (size_t i = 0; i < arguments.size(); ++i) arguments[i].type = op.operand_types[i];
    if (lexer_.accept("attributes")) merge(op, dictionary());
    lexer_.expect("cond");
    op.regions.push_back(region(arguments));
    lexer_.expect("do");
    op.regions.push_back(region(arguments));
  }

  /// reduce(%x init: %c), (%y init: %d) applies stablehlo.add across dimensions = [1] : types
  /// … or, instead of `applies`, after the types: reducer(%a: t, %b: t) (%c: t, %d: t) {…}
  void pretty_reduce(Operation& op) {
    std::vector<std::string> inits;
    do {
      lexer_.expect("(");
      op.operands.push_back(lexer_.value_name());
      lexer_.expect("init");
      lexer_.expect(":");
      inits.push_back(lexer_.value_name());
      lexer_.expect(")");
    } while (lexer_.accept(","));
    op.operands.insert(op.operands.end(), inits.begin(), inits.end());
    const size_t body_at = lexer_.at();
    const std::string applied = lexer_.accept("applies") ? lexer_.word() : "";
    lexer_.expect("across");
    lexer_.expect("dimensions");
    lexer_.expect("=");
    op.attributes["dimensions"] = attribute(false);
    if (lexer_.peek() == '{') merge(op, dictionary());
    lexer_.expect(":");
    types(op);
    if (op.operand_types.size() != op.operands.size())
      lexer_.fail_here(op.at, fmt::format("{}: {} operands, {} types of operands", op.name, op.operands.size(),
                                          op.operand_types.size()));
    if (applied.empty()) return reducer(op);
    const ir::Type scalar = ir::Type::tensor(op.operand_types[0].dtype(), ir::Shape{});
    Region body;
    body.arguments = {{"a", scalar, "", {}}, {"b", scalar, "", {}}};
    body.operations.resize(2);
    Operation &apply = body.operations[0], &result = body.operations[1];
    apply.name = applied;
    result.name = "stablehlo.return";
    apply.at = result.at = body_at;
    apply.operands = {"a", "b"};
    apply.operand_types = {scalar, scalar};
    apply.results = result.operands = {"r"};
    apply.result_types = result.operand_types = {scalar};
    op.regions.push_back(std::move(body));
  }

  void reducer(Operation& op) {
    lexer_.expect("reducer");
    std::vector<Argument> firsts, seconds;
    while (lexer_.accept("(")) {
      firsts.push_back(argument());
      lexer_.expect(",");
      seconds.push_back(argument());
      lexer_.expect(")");
    }
    firsts.insert(firsts.end(), seconds.begin(), seconds.end());
    op.regions.push_back(region(std::move(firsts)));
  }

  Module out_;
  bool seen_module_ = false;
};

}  // namespace

std::string Module::location_name(const std::string& location) const {
  std::string name = location;
  for (int hops = 0; name.starts_with("#loc") && hops < 16; ++hops) {
    const auto it = locations.find(name);
    name = it == locations.end() ? "" : it->second;
  }
  return name.starts_with("#") ? "" : name;
}

Module parse_module(std::string_view text) { return Parser(text).run(); }

}  // namespace rooftune::frontends::mlir
