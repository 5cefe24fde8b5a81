(* A task to try the theorems on (bomrl_theory/theory/small.py, stay_or_leave). In state 0, stay pays 1 and stays,
   leave pays nothing and leads to state 1; state 1 is absorbing and pays 1. The start is state 0, the discount 4/5.
   State 0 and the action stay are `true`. *)
From Coq Require Import Reals Lra.
From mathcomp Require Import all_ssreflect.
From BOMRL Require Import Definitions Section0 Section1.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Local Open Scope R_scope.

Notation B := bool_finType.

Definition pays (s a : bool) : R := if s && ~~ a then 0 else 1.

Lemma discount_ge : 0 <= 4 / 5. Proof. lra. Qed.
Lemma discount_lt : 4 / 5 < 1. Proof. lra. Qed.

Definition task : mdp B B :=
  @MDP B B (fun s a => point (s && a : B)) pays (point (true : B)) (4 / 5) discount_ge discount_lt.

(* A distribution on two actions. *)
Section Coin.
Variable x : R.
Hypotheses (x0 : 0 < x) (x1 : x < 1).
Definition coin_prob (a : B) : R := if a then x else 1 - x.
Lemma coin_gt0 a : 0 < coin_prob a. Proof. by rewrite /coin_prob; case: a; lra. Qed.
Lemma coin_sum1 : Sum coin_prob = 1. Proof. by rewrite sum_bool /=; ring. Qed.
Definition coin : dist B := Dist (fun a => Rlt_le _ _ (coin_gt0 a)) coin_sum1.
End Coin.

Lemma inner_bool (x : dist B) f : inner x f = x true * f true + x false * f false.
Proof. exact: sum_bool. Qed.

Lemma prob_false (x : dist B) : x false = 1 - x true.
Proof. by have := prob_sum1 x; rewrite sum_bool; lra. Qed.

Lemma Q_task V s a : Q task V s a = pays s a + 4 / 5 * V (s && a).
Proof.
rewrite /Q /= -/(inner (point (s && a : B)) V) inner_point //.
Qed.

(* Staying for ever is optimal and worth 5. *)
Definition stays (_ : unit) (_ : B) : B := true.

Lemma V_star_is_5 s : value task (fun s => point (stays tt s)) s = 5.
Proof.
apply: (value_unique (value_exists task (fun s => point (stays tt s))) (V' := fun _ => 5)) => s1.
by rewrite /Tpi inner_point Q_task /pays /= andbF /=; lra.
Qed.

Lemma staying_is_optimal (tau : unit) s a :
  Q task (value task (fun s => point (stays tau s))) s a <= value task (fun s => point (stays tau s)) s.
Proof. by case: tau; rewrite Q_task !V_star_is_5 /pays; case: ifP => _; lra. Qed.

(* The value of any policy follows from its probability of staying. *)
Lemma V_absorbing (pi : policy B B) V : Bellman task pi V -> V false = 5.
Proof. by move/(_ false); rewrite /Tpi inner_bool !Q_task /pays /= prob_false; lra. Qed.

Lemma V_start (pi : policy B B) V : Bellman task pi V -> V true * (1 - 4 / 5 * pi true true) = 4 - 3 * pi true true.
Proof.
move=> bell; have V5 := V_absorbing bell; move: (bell true).
by rewrite /Tpi inner_bool !Q_task /pays /= prob_false V5; lra.
Qed.

Lemma visit_start (pi : policy B B) nu : Flow task pi nu -> nu true * (1 - 4 / 5 * pi true true) = 1 / 5.
Proof.
move/(_ true); rewrite sum_bool /Ppi !inner_bool /=; lra.
Qed.

Lemma return_is_value V : J task V = V true.
Proof. by rewrite /J -/(inner (point (true : B)) V) inner_point. Qed.

(* ---- cases on this task ------------------------------------------------------------------------------------- *)

Section Case.
Variables (algorithm : algorithm) (lambda : R) (lambda_gt0 : 0 < lambda) (meta adapted : policy B B).
Hypotheses (meta_gt0 : forall s a, 0 < meta s a) (adapted_gt0 : forall s a, 0 < adapted s a).

Definition stay_or_leave : case unit_finType B B :=
  build (point (tt : unit_finType)) (fun _ : unit_finType => erefl (discount task)) lambda_gt0 algorithm meta_gt0
    (fun _ => adapted_gt0) staying_is_optimal.
End Case.
